-- Scripts that end entries.

-- bury makes an entry a dead letter.
local function bury(lane, it, n, outcome)
  local v = call('HMGET', it.web, 'e' .. it.n, 'x' .. it.n, it.body)
  call('HSET', P .. LETTER .. it.id, 'e', v[1] or '', 'x', v[2] or '', 'b', v[3] or '', 't', NOW, 'n', n, 'o', outcome,
    'l', lane, 'q', it.queue, 'd', call('HGET', P .. QUEUES, it.queue) or '', 'at', us(it.at))
  call('ZADD', P .. DEAD, 0, it.id)
  call('ZADD', P .. DIED, NOW, it.id)
end

-- finish forgets an entry; with the last one of its webhook that goes too. It tells whether its queue has nothing pending
-- any more.
local function finish(it)
  call('ZREM', P .. WAITING, it.id)
  if call('HINCRBY', it.web, 'o', -1) <= 0 then
    call('HINCRBY', P .. STATE, 'bytes', -(call('HGET', it.web, 'z') or 0))
    call('DEL', it.web)
  else
    call('HDEL', it.web, 'e' .. it.n, 'x' .. it.n)
    if it.own then call('HDEL', it.web, it.body) end
  end
  call('HINCRBY', P .. STATE, 'pending', -1)
  if call('HINCRBY', P .. PENDING, it.queue, -1) > 0 then return false end
  call('HDEL', P .. PENDING, it.queue)
  return true
end

-- after puts a lane whose first n items have ended back into line, or keeps what is known of it for the retention.
local function after(lane, n, retention)
  call('LTRIM', P .. ITEMS .. lane, n, -1)
  call('HDEL', P .. LANE .. lane, 'tries', 'crashes', 'bound', 'apart', 'alone', 'rest', 'reason', 'detail', 'due',
    'place', 'lease', 'rigid')
  local queue = head(lane)
  if queue then
    call('RPUSH', P .. READY .. queue, lane)
    call('ZADD', P .. DUE, 'LT', NOW, queue)
    overflow(lane)
  else
    call('PEXPIRE', P .. LANE .. lane, retention)
    call('HINCRBY', P .. STATE, 'lanes', -1)
  end
end
