-- Scripts that count sends.

-- stamp counts sends, pairs of when one ended and its nonce, each once. They are kept for as long as the widest limit ever
-- asked for.
local function stamp(limiter, sends, per)
  local key = P .. STAMPS .. limiter
  call('ZADD', key, 'GT', unpack(sends))
  call('PEXPIRE', key, 60000 + math.max(60000, math.ceil((tonumber(per) or 0) / 1000)))
end

-- remember notes what a relay claimed last, for a day. A server that knows it has forgotten none of its sends.
local function remember(relay, nonce) call('SET', P .. CLAIMED .. relay, nonce, 'PX', 86400000) end
