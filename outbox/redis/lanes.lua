-- Scripts that move lanes: what an item says, and who is woken.

-- item reads one of the items of a lane.
local function item(text)
  local queue, at, late, body, id = string.match(text, '^(%S+) (%-?%d+) (%d+) (%d+) (.+)$')
  local web, n = string.match(id, '^(.*)%-(%d+)$')
  return {queue = queue, at = tonumber(at), late = late ~= '0' and late, body = 'b' .. body, id = id, web = P .. WEB .. web, n = n}
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
