-- The claim: what a configuration says, and what limiters have left. Both are read once in a claim.
local terms = P .. TERMS .. ARGV[3]

-- termsOf are those of a queue's integration; without messages when the configuration does not know it.
local queues = {}
local function termsOf(queue)
  local t = queues[queue]
  if t then return t end
  local text = call('HGET', terms, 'q' .. queue) or ''
  local integration, messages, per, flying, merge, digest, limiters =
    string.match(text, '^(%S+) (%d+) (%d+) (%d+) (%d) (%d+) (%S+)$')
  t = {integration = integration or string.match(text, '^%S*'), messages = tonumber(messages), per = tonumber(per), flying = tonumber(flying),
    merge = merge == '1', digest = tonumber(digest), names = limiters, limiters = {}}
  for limiter in string.gmatch(limiters or '', string.rep('.', 22)) do t.limiters[#t.limiters + 1] = limiter end
  queues[queue] = t
  return t
end

-- strictest narrows a limiter to the terms of a queue, if it has something pending: fewer messages in the long run or,
-- if they are equal in that, fewer at once.
local function strictest(l, queue)
  local t = termsOf(queue)
  if not t.messages or call('HEXISTS', P .. PENDING, queue) == 0 then return end
  if t.flying > 0 and (l.most == 0 or t.flying < l.most) then l.most = t.flying end
  if t.messages == 0 then return end
  local a, b = t.messages * l.per, l.messages * t.per
  if l.messages == 0 or a < b or a == b and t.messages < l.messages then l.messages, l.per = t.messages, t.per end
end

-- await notes that a queue waits for a limiter; it tells whether it did not yet.
local function await(l, queue)
  if l.wait[queue] then return false end
  l.wait[queue], l.wait[#l.wait + 1] = true, queue
  return true
end

local limiters = {}
local function limiter(id)
  local l = limiters[id]
  if l then return l end
  local has = call('HMGET', P .. LIMITER .. id, 'hold', 'probing', 'per', 'most', 'wait')
  l = {id = id, name = call('HGET', P .. LIMITERS, id), hold = tonumber(has[1]) or 0, wait = {},
    messages = 0, per = 0, most = 0}
  for queue in string.gmatch(has[5] or '', string.rep('.', 22)) do await(l, queue) end
  for queue in string.gmatch(call('HGET', terms, 'l' .. id) or '', string.rep('.', 22)) do strictest(l, queue) end
  if l.messages > (tonumber(has[4]) or 0) or l.per > (tonumber(has[3]) or 0) then
    call('HSET', P .. LIMITER .. id, 'per', us(math.max(l.per, has[3] or 0)), 'most', math.max(l.messages, has[4] or 0))
  end
  if has[2] then l.most = 1 end
  l.flying = call('ZCARD', P .. FLIGHT .. id)
  l.used = l.flying
  if l.messages > 0 then l.used = l.used + call('ZCOUNT', P .. STAMPS .. id, '(' .. us(now - l.per), '+inf') end
  limiters[id] = l
  return l
end

-- free tells when a limiter has a free slot: now, or when that may change by itself.
local function free(l)
  if l.hold > now then return l.hold end
  local stamp
  if l.most > 0 and l.flying >= l.most then
    stamp = call('ZRANGE', P .. FLIGHT .. l.id, 0, 0, 'WITHSCORES')
  elseif l.messages == 0 or l.used < l.messages then
    return now
  else -- so many stamps must leave the window
    stamp = call('ZRANGEBYSCORE', P .. STAMPS .. l.id, '(' .. us(now - l.per), '+inf', 'WITHSCORES',
      'LIMIT', l.used - l.messages, 1)
    if stamp[2] then return tonumber(stamp[2]) + l.per end
    stamp = call('ZRANGE', P .. FLIGHT .. l.id, 0, 0, 'WITHSCORES')
  end
  return math.min(tonumber(stamp[2]) or math.huge, now + ARGV[5]) -- what this claim takes may be over first
end

-- room is how many slots are free for what is told lane by lane, without the reserve of three in twenty.
local function room(l)
  if l.messages == 0 then return math.huge end
  if l.hold > now then return 0 end
  local reserve = l.messages >= 5 and math.floor(3 * l.messages / 20) or 0
  return math.max(0, l.messages - l.used - reserve)
end

-- pick returns the limiter of a queue with most room, or when there may be some: then the queue waits for each of them.
local function pick(queue)
  local best, soonest
  for _, id in ipairs(termsOf(queue).limiters) do
    local l = limiter(id)
    local at = free(l)
    if at > now then
      soonest = math.min(soonest or at, at)
    elseif not best or l.used < best.used then
      best = l
    end
  end
  if best then return best end
  for _, id in ipairs(termsOf(queue).limiters) do
    local l = limiter(id)
    if await(l, queue) then l.more = true end
  end
  return nil, soonest
end

-- keepWaits writes down which queues wait for which limiter: once in a claim, however many do.
local function keepWaits()
  for id, l in pairs(limiters) do
    if l.more then call('HSET', P .. LIMITER .. id, 'wait', table.concat(l.wait)) end
  end
end
