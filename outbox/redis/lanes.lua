-- Scripts that move lanes: what an item says, and who is woken.

-- item reads one of the items of a lane.
local function item(text)
  local queue, at, late, body, folded, since, id =
    string.match(text, '^(%S+) (%-?%d+) (%d+) (%d+) (%d+) (%-?%d+) (.+)$')
  local web, n = string.match(id, '^(.*)%-(%d+)$')
  return {queue = queue, at = tonumber(at), late = late ~= '0' and late, body = 'b' .. body,
    own = tonumber(body) >= 1000000, folded = tonumber(folded), since = since, id = id, web = P .. WEB .. web, n = n}
end

-- head is the queue that a lane stands in: that of its first item.
local function head(lane)
  local first = call('LINDEX', P .. ITEMS .. lane, 0)
  return first and string.sub(first, 1, 22)
end

-- wake has the queues looked at that wait for a limiter.
local function wake(limiter)
  local waiting = call('HGET', P .. LIMITER .. limiter, 'wait')
  if not waiting then return end
  call('HDEL', P .. LIMITER .. limiter, 'wait')
  for queue in string.gmatch(waiting, string.rep('.', 22)) do
    call('ZADD', P .. DUE, 'XX', 'LT', NOW, queue)
  end
end

-- overflow notes a lane in which so much waits that it may have to be folded.
local function overflow(lane)
  if call('LLEN', P .. ITEMS .. lane) > 20 then call('ZADD', P .. FULL, 0, lane) end
end

-- unfold ends the lease of a lane that was to be folded: it goes back to where it was, or to the front.
local function unfold(lane)
  local has, queue = call('HMGET', P .. LANE .. lane, 'due', 'place'), head(lane)
  call('HDEL', P .. LANE .. lane, 'lease')
  if has[1] and has[2] and tonumber(has[1]) > now then
    call('ZADD', P .. LATER .. queue, has[1], has[2])
    call('ZADD', P .. DUE, 'LT', has[1], queue)
  else
    line('LPUSH', queue, lane)
  end
end
