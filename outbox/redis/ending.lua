-- Scripts that end entries.

-- open reads what is stored of an entry that is to end.
local function open(it)
  local v = call('HMGET', it.web, 'e' .. it.n, 'x' .. it.n, 'o', 'z')
  it.e, it.x, it.open, it.size = v[1] or '', v[2] or '', tonumber(v[3]), v[4]
end

-- bury makes an entry a dead letter.
local function bury(lane, it, n, outcome)
  call('HSET', P .. LETTER .. it.id, 'e', it.e, 'x', it.x, 'b', call('HGET', it.web, it.body) or '', 't', NOW, 'n', n,
    'o', outcome, 'l', lane, 'q', it.queue, 'd', call('HGET', P .. QUEUES, it.queue) or '', 'at', us(it.at))
  call('ZADD', P .. DEAD, 0, it.id)
  call('ZADD', P .. DIED, NOW, it.id)
end

-- finish forgets an entry; with the last one of its webhook that goes too. It tells whether its queue has nothing
-- pending any more.
local function finish(it)
  call('ZREM', P .. WAITING, it.id)
  if it.open == 1 or it.open and call('HINCRBY', it.web, 'o', -1) == 0 then
    call('DEL', it.web)
    call('HINCRBY', P .. STATE, 'bytes', -it.size)
  else
    call('HDEL', it.web, 'e' .. it.n, 'x' .. it.n, it.own and it.body or '')
  end
  if call('HINCRBY', P .. PENDING, it.queue, -1) > 0 then return false end
  call('HDEL', P .. PENDING, it.queue)
  return true
end

-- after puts a lane whose first n items have ended back into line in the queue of the next one, behind the others, or
-- keeps what is known of it for the retention when there is no next one.
local function after(lane, n, retention, queue)
  call('LTRIM', P .. ITEMS .. lane, n, -1)
  call('HDEL', P .. LANE .. lane, 'tries', 'crashes', 'bound', 'apart', 'alone', 'rest', 'reason', 'detail', 'due',
    'place', 'lease', 'rigid')
  if not queue then
    call('PEXPIRE', P .. LANE .. lane, retention)
    return
  end
  line('RPUSH', queue, lane)
  overflow(lane)
end
