-- requeue puts dead letters to the tails of their lanes.
--
-- KEYS[1]  the prefix
-- ARGV[3]  retention of dead letters, microseconds   [4] of what lanes remember, microseconds   [5] 1: forced
-- ARGV[6]  most entries pending   [7] most bytes pending; then ids
--
-- Answers of each id why it was refused, or an empty text; or nothing when there is no room: then nothing has changed.
-- First write: one that may grow, so that a full Redis refuses the whole.
-- Invariant: an entry is pending or dead, never both. What is late is told alone.
local answer, letters, seen, newest = {}, {}, {}, {}

-- newestPending is when the newest of what is pending in a lane was accepted.
local function newestPending(lane)
  if not newest[lane] then
    newest[lane] = -math.huge
    for _, text in ipairs(call('LRANGE', P .. ITEMS .. lane, 0, -1)) do
      newest[lane] = math.max(newest[lane], item(text).at)
    end
  end
  return newest[lane]
end

local function refuse(v)
  local lane, at = v[4], tonumber(v[5])
  if ARGV[5] == '1' then return '' end
  if (tonumber(call('HGET', P .. LANE .. lane, 'newest')) or at) > at then return 'newer_sent' end
  if newestPending(lane) > at then return 'newer_pending' end
  return now - tonumber(v[1]) > tonumber(ARGV[4]) and 'forgotten' or ''
end
for i = 1, #ARGV - 7 do
  local id = ARGV[i + 7]
  local v = not seen[id] and letter(id, ARGV[3], 'e', 'o', 'l', 'at', 'q', 'd', 'x', 'b')
  seen[id] = true
  answer[i] = not v and 'not_found' or v[7] == '' and 'damaged' or refuse(v)
  if answer[i] == '' then letters[#letters + 1] = {id = id, v = v, at = tonumber(v[5])} end
end
if #letters > 0 and full(#letters, ARGV[6], ARGV[7]) then return false end

-- In whatever order they are asked for, the oldest is told first.
table.sort(letters, function(a, b) return a.at < b.at or a.at == b.at and a.id < b.id end)
for _, l in ipairs(letters) do
  local v, web, n = l.v, string.match(l.id, '^(.*)%-(%d+)$')
  local body, size = us(1000000 + n), #v[2] + #v[8] + #v[9]
  event('requeued', l.id, ARGV[5], v[2], v[3])
  remove(l.id)
  call('HSET', P .. WEB .. web, 'e' .. n, v[2], 'x' .. n, v[8], 'b' .. body, v[9])
  call('HINCRBY', P .. WEB .. web, 'o', 1)
  call('HINCRBY', P .. WEB .. web, 'z', size)
  enqueue(v[4], v[6], v[7], v[6] .. ' ' .. v[5] .. ' ' .. NOW .. ' ' .. body .. ' 0 0 ' .. l.id, NOW, l.id)
  bytes = bytes + size
end
arrive()
return answer
