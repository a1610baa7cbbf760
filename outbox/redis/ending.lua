-- Scripts that end entries. What entries have in common is written by depart, once in a run.

-- departures has of each queue how many entries end, and the limiters it can be told with, if it is known which. Entries
-- are those that end, keys what goes with them, and bytes is how much that frees.
local departures, entries, keys, bytes = {}, {}, {}, 0

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

-- finish forgets an entry; with the last one of its webhook that goes too.
local function finish(it, limiters)
  entries[#entries + 1] = it.id
  if it.open == 1 or it.open and call('HINCRBY', it.web, 'o', -1) == 0 then
    keys[#keys + 1], bytes = it.web, bytes + it.size
  else
    call('HDEL', it.web, 'e' .. it.n, 'x' .. it.n, it.own and it.body or '')
  end
  local q = departures[it.queue] or {entries = 0}
  departures[it.queue], q.entries, q.limiters = q, q.entries + 1, limiters
end

-- forget forgets what is known of the head of a lane.
local function forget(lane)
  call('HDEL', P .. LANE .. lane, 'tries', 'crashes', 'bound', 'apart', 'alone', 'rest', 'reason', 'detail', 'due',
    'place', 'lease', 'rigid')
end

-- after puts a lane whose first n items have ended back into line in the queue of the next one, behind the others, or
-- keeps what is known of it for the retention when there is no next one.
local function after(lane, n, retention, queue)
  if not queue then
    keys[#keys + 1] = P .. ITEMS .. lane
    call('PEXPIRE', P .. LANE .. lane, retention)
    return
  end
  call('LTRIM', P .. ITEMS .. lane, n, -1)
  line('RPUSH', queue, lane)
  overflow(lane)
end

local function depart()
  many('ZREM', P .. WAITING, entries)
  many('DEL', nil, keys)
  if bytes > 0 then call('HINCRBY', P .. STATE, 'bytes', -bytes) end
  for queue, q in pairs(departures) do
    if call('HINCRBY', P .. PENDING, queue, -q.entries) <= 0 then
      call('HDEL', P .. PENDING, queue)
      -- The limits of a queue that has nothing pending do not count any more.
      for limiter in string.gmatch(q.limiters or '', string.rep('.', 22)) do wake(limiter) end
    end
  end
end
