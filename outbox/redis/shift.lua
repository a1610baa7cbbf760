-- The claim: a clock that was set back, by a person or by a failover. Without this all that waits would wait for as
-- long again.

-- TICK is how much a clock may go back unnoticed, in microseconds: the claims of several relays cross.
local TICK = 5000000

-- shift moves all times that are still to come, and those of the sends in the window.
local function shift(by)
  local function move(key)
    local members = call('ZRANGE', key, 0, -1)
    for _, member in ipairs(members) do call('ZINCRBY', key, us(by), member) end
  end
  for _, key in ipairs({DUE, ENDS, FOLDS, MISSING, HOLDS}) do move(P .. key) end
  for _, queue in ipairs(call('HKEYS', P .. PENDING)) do move(P .. LATER .. queue) end
  for _, limiter in ipairs(call('HKEYS', P .. LIMITERS)) do
    move(P .. FLIGHT .. limiter)
    move(P .. STAMPS .. limiter)
    local hold = call('HGET', P .. LIMITER .. limiter, 'hold')
    if hold then call('HSET', P .. LIMITER .. limiter, 'hold', us(hold + by)) end
  end
end
