-- restamp counts sends that this server may know nothing of: it was promoted before it heard of them, or their lease
-- was over.
--
-- KEYS[1]  the prefix
-- ARGV[3]  and so on, of each send: limiter, nonce, how long ago it ended in microseconds
--
-- Answers nothing. First write: a removal, so that a full Redis can be drained.
-- Invariant: a send is counted once, by its nonce.
call('ZREM', P .. ENDS, '')
for at = 3, #ARGV, 3 do
  local limiter, nonce = ARGV[at], ARGV[at + 1]
  if not call('ZSCORE', P .. FLIGHT .. limiter, nonce) then
    stamp(limiter, nonce, now - ARGV[at + 2], call('HGET', P .. LIMITER .. limiter, 'per'))
  end
end
return false
