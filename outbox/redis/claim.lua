-- claim leases what is ready, and says when more may be.
--
-- KEYS[1]  the prefix
-- ARGV[3]  configuration   [4] most batches   [5] lease, microseconds   [6] nonce, to which a number is added
-- ARGV[7]  how long lanes wait for their integration, microseconds   [8] a random text
-- ARGV[9]  relay   [10] the nonce of its last claim that took something, or empty
--
-- Answers {'forgot'} when it is not the last that is known of the relay: this server was promoted before it heard of it,
-- or has lost it; {'bind'} when the configuration's terms are not there, or not those of all queues; {'gone', queues}
-- when lanes have waited too long for their integration; else {'ok', born, now, when more is due or 0, batches}. A batch is
-- {nonce, name of the limiter, lanes}; a lane {attempts made, crashes, ref, x told last, when, rest, items}; an item
-- {id, late, e, x, body, folded, since}. A batch without a limiter is to be folded.
-- First write: a removal, so that a full Redis can be drained.
-- Invariant: a lane taken out of a queue is in exactly one lease.
call('ZREM', P .. ENDS, '')
if (call('GET', P .. CLAIMED .. ARGV[9]) or '') ~= ARGV[10] then return {'forgot'} end
local state = call('HMGET', P .. STATE, 'known', 'gen', 'born', 'clock')
local gen, born = state[2] or '0', state[3]
if not born then
  born = ARGV[8]
  call('HSET', P .. STATE, 'born', born)
end
local last = tonumber(state[4]) or 0
if now < last - TICK then shift(now - last) end
if math.abs(now - last) > TICK then call('HSET', P .. STATE, 'clock', NOW) end
if call('HGET', terms, 'gen') ~= gen then
  return {'bind'}
end

-- Leases that are over: their lanes go back to the front.
for _, nonce in ipairs(call('ZRANGEBYSCORE', P .. ENDS, '-inf', NOW, 'LIMIT', 0, 256)) do lapse(nonce) end

-- Another configuration: every queue is looked at anew. What it has is not missed any more, also when nothing waits
-- for it.
if state[1] ~= ARGV[3] then
  call('HSET', P .. STATE, 'known', ARGV[3])
  for _, integration in ipairs(call('ZRANGE', P .. MISSING, 0, -1)) do
    if call('HEXISTS', terms, 'i' .. integration) == 1 then call('ZREM', P .. MISSING, integration) end
  end
  for _, queue in ipairs(call('HKEYS', P .. PENDING)) do
    local t = termsOf(queue)
    if not t.messages then call('ZADD', P .. MISSING, 'NX', NOW, t.integration) end
    call('ZADD', P .. DUE, 'XX', 'LT', NOW, queue)
  end
end

local gone, next = orphans()
if #gone > 0 then return {'gone', gone} end
local function later(at) next = math.min(next or at, at) end

-- Queues take turns, beginning with the one that has been due for longest.
local turn, most, batches, served = {}, tonumber(ARGV[4]), {}, {}
local due = call('ZRANGE', P .. DUE, 0, -1, 'WITHSCORES')
for at = 1, #due, 2 do
  local known, when = termsOf(due[at]).messages, tonumber(due[at + 1])
  if known and when <= now then turn[#turn + 1] = due[at] elseif known then later(when) end
end
while #turn > 0 and #batches < most do
  local again = {}
  for _, queue in ipairs(turn) do
    local batch, at
    if #batches < most then batch, at = take(queue, ARGV[6] .. #batches) end
    if batch then batches[#batches + 1], served[queue] = batch, true end
    if batch or not at and #batches == most then again[#again + 1] = queue end
    if at then later(at) end
  end
  turn = again
end
for _, queue in ipairs(turn) do
  later(now)
  if served[queue] then call('ZADD', P .. DUE, NOW, queue) end
end
for _, lane in ipairs(call('ZRANGE', P .. FULL, 0, most)) do
  if #batches < most then batches[#batches + 1] = fold(lane, ARGV[6] .. #batches) end
end
keepLeases()
keepWaits()
if #batches > 0 then remember(ARGV[9], ARGV[6]) end
local first = call('ZRANGE', P .. ENDS, 0, 0, 'WITHSCORES')
if first[2] then later(tonumber(first[2])) end
return {'ok', born, NOW, next and us(next) or '0', batches}
