-- Scripts that count sends.

-- stamp counts a send that ended then, once. It is kept for as long as the widest limit ever asked for.
local function stamp(limiter, nonce, at, per)
  local key = P .. STAMPS .. limiter
  call('ZADD', key, 'GT', us(at), nonce)
  call('PEXPIRE', key, 60000 + math.max(60000, math.ceil((tonumber(per) or 0) / 1000)))
end

-- remember notes what a relay claimed last, for a day. A server that knows it has forgotten none of its sends.
local function remember(relay, nonce) call('SET', P .. CLAIMED .. relay, nonce, 'PX', 86400000) end
