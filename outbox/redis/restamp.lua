-- restamp counts the sends of a relay that this server may know nothing of: it was promoted before it heard of them, or
-- lost them.
--
-- KEYS[1]  the prefix
-- ARGV[3]  relay   [4] what to know its last claim by; then of each send: limiter, nonce, how long ago it ended in microseconds
--
-- Answers nothing. First write: a removal, so that a full Redis can be drained.
-- Invariant: a send is counted once, by its nonce.
call('ZREM', P .. ENDS, '')
for at = 5, #ARGV, 3 do
  local limiter, nonce = ARGV[at], ARGV[at + 1]
  if not call('ZSCORE', P .. FLIGHT .. limiter, nonce) then
    stamp(limiter, {us(now - ARGV[at + 2]), nonce}, call('HGET', P .. LIMITER .. limiter, 'per'))
  end
end
remember(ARGV[3], ARGV[4])
return false
