-- lift ends the holds in force for a reason.
--
-- KEYS[1]  the prefix
-- ARGV[3]  reason
--
-- Answers how many. First write: a removal. Invariant: after it one batch of each limiter goes first, as after every
-- hold.
local lifted = 0
call('ZREMRANGEBYSCORE', P .. HOLDS, '-inf', NOW)
for _, limiter in ipairs(call('ZRANGE', P .. HOLDS, 0, -1)) do
  if call('HGET', P .. LIMITER .. limiter, 'reason') == ARGV[3] then
    call('ZREM', P .. HOLDS, limiter)
    call('HDEL', P .. LIMITER .. limiter, 'hold', 'reason')
    wake(limiter)
    lifted = lifted + 1
  end
end
return lifted
