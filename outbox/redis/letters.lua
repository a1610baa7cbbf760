-- Scripts that remove dead letters.

local function remove(id)
  call('DEL', P .. LETTER .. id)
  call('ZREM', P .. DEAD, id)
  call('ZREM', P .. DIED, id)
end

-- letter reads some fields of a dead letter; nil when there is none, or the sweep will come by.
local function letter(id, retention, ...)
  local v = call('HMGET', P .. LETTER .. id, 't', ...)
  return v[1] and now - tonumber(v[1]) <= tonumber(retention) and v
end
