-- standing tells how pending entries stand.
--
-- KEYS[1]  the prefix
-- ARGV[3]  1: with their bodies   [4] configuration, or empty for that of the last claim; then for each: lane, id
--
-- Answers for each {when it was requeued or 0, since when what was folded into it waits or 0, tries, reason, detail, when
-- it is tried next or 0, body}, or 0 when it is pending no more. It writes nothing.
local config = ARGV[4] ~= '' and ARGV[4] or call('HGET', P .. STATE, 'known') or ''
local terms, holds = P .. TERMS .. config, {}

-- held is when the first limiter of a queue is free of its hold.
local function held(queue)
  if holds[queue] then return holds[queue] end
  local names, first = string.match(call('HGET', terms, 'q' .. queue) or '', ' (%S+)$'), nil
  for limiter in string.gmatch(names or '', string.rep('.', 22)) do
    local hold = tonumber(call('HGET', P .. LIMITER .. limiter, 'hold')) or 0
    first = math.min(first or hold, hold)
  end
  holds[queue] = first or 0
  return holds[queue]
end

-- places are the items of a lane by id. Each lane is read once, however many of its entries are asked for.
local lanes = {}
local function places(lane)
  if not lanes[lane] then
    lanes[lane] = {}
    for i, text in ipairs(call('LRANGE', P .. ITEMS .. lane, 0, -1)) do
      local it = item(text)
      it.first = i == 1
      lanes[lane][it.id] = it
    end
  end
  return lanes[lane]
end

local function stands(lane, id)
  local it, has = places(lane)[id], {}
  if not it then return 0 end
  if it.first then has = call('HMGET', P .. LANE .. lane, 'tries', 'reason', 'detail', 'due') end
  local next = math.max(held(head(lane)), tonumber(has[4]) or 0)
  return {it.late or '0', it.since, has[1] or '0', has[2] or '', has[3] or '', next > now and us(next) or '0',
    ARGV[3] == '1' and call('HGET', it.web, it.body) or ''}
end

local answer = {}
for at = 5, #ARGV, 2 do answer[#answer + 1] = stands(ARGV[at], ARGV[at + 1]) end
return answer
