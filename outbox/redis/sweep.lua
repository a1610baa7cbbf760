-- sweep removes what is past its time, a bounded part of it.
--
-- KEYS[1]  the prefix
-- ARGV[3]  retention of the history, ms   [4] of the dead letters, microseconds   [5] most queues to remember
-- ARGV[6]  most dead letters to remove
--
-- Answers how many dead letters went. First write: a removal.
call('XTRIM', P .. HISTORY, 'MINID', '~', us(math.max(0, math.floor(now / 1000) - ARGV[3])))
call('ZREMRANGEBYSCORE', P .. HOLDS, '-inf', NOW)
local old = call('ZRANGEBYSCORE', P .. DIED, '-inf', '(' .. us(now - ARGV[4]), 'LIMIT', 0, ARGV[6])
for _, id in ipairs(old) do remove(id) end
if call('HLEN', P .. QUEUES) > tonumber(ARGV[5]) then
  for _, queue in ipairs(call('HKEYS', P .. QUEUES)) do
    if call('HEXISTS', P .. PENDING, queue) == 0 then call('HDEL', P .. QUEUES, queue) end
  end
  call('HINCRBY', P .. STATE, 'gen', 1)
end
return #old
