-- restamp counts sends that this server may know nothing of: it was promoted before it heard of them, or their lease
-- was over.
--
-- KEYS[1]  the prefix
-- ARGV[3]  and so on, of each send: limiter, nonce, how long ago it ended in microseconds
--
-- Answers nothing. First write: one that may grow. Invariant: a send is counted once, by its nonce.
for at = 3, #ARGV, 3 do
  local limiter, nonce = ARGV[at], ARGV[at + 1]
  if not call('ZSCORE', P .. FLIGHT .. limiter, nonce) then
    local per = tonumber(call('HGET', P .. LIMITER .. limiter, 'per')) or 0
    call('ZADD', P .. STAMPS .. limiter, 'GT', us(now - ARGV[at + 2]), nonce)
    call('PEXPIRE', P .. STAMPS .. limiter, 60000 + math.max(60000, math.ceil(per / 1000)))
  end
end
return false
