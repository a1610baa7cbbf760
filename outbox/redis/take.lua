-- The claim: which lanes are told next.

-- peers takes from a queue the lanes that share a message with its first.
local function peers(queue, most)
  local front = call('LRANGE', P .. READY .. queue, 0, 10 * most)
  local lanes, others, peer = {}, {}, nil
  for i, lane in ipairs(front) do
    local has = laneFields(lane)
    local first = item(call('LINDEX', P .. ITEMS .. lane, 0))
    local shares = has[9] and has[9] ~= '' and not (has[3] or has[4] or single(has[5], has[2]) or has[6] or first.late)
    if i == 1 then peer = shares and has[9] end
    if i == 1 or peer and shares and has[9] == peer and #lanes < most then
      lanes[#lanes + 1] = lane
    else
      others[#others + 1] = lane
    end
  end
  call('LPOP', P .. READY .. queue, #front)
  for i = #others, 1, -1 do call('LPUSH', P .. READY .. queue, others[i]) end
  return lanes
end

-- ready counts the lanes of a queue that are ready, and moves those there whose delay is over.
local function ready(queue, t)
  if not t.ready then
    for _, name in ipairs(call('ZRANGEBYSCORE', P .. LATER .. queue, '-inf', NOW, 'LIMIT', 0, 1000)) do
      call('ZREM', P .. LATER .. queue, name)
      call('RPUSH', P .. READY .. queue, string.sub(name, 3))
    end
    t.ready = call('LLEN', P .. READY .. queue)
  end
  return t.ready
end

-- take leases the next lane of a queue, or several as a digest when more are ready than there is room for. It returns
-- the batch, or when it is worth to look again.
local function take(queue, nonce)
  local t = termsOf(queue)
  if ready(queue, t) == 0 then
    local first = call('ZRANGE', P .. LATER .. queue, 0, 0, 'WITHSCORES')
    if not first[2] then call('ZREM', P .. DUE, queue) return end
    call('ZADD', P .. DUE, first[2], queue)
    return nil, tonumber(first[2])
  end
  local l, at = pick(queue)
  if not l then
    call('ZADD', P .. DUE, us(at), queue)
    return nil, at
  end
  local lanes
  local free = 0
  if t.digest > 1 and t.merge then
    for _, id in ipairs(t.limiters) do free = free + room(limiter(id)) end
  end
  if t.digest > 1 and t.merge and t.ready > math.max(1, free) then
    lanes = peers(queue, t.digest)
  else
    lanes = {call('LPOP', P .. READY .. queue)}
  end
  t.ready = t.ready - #lanes
  local names, batch = {}, {nonce, l.name, {}}
  for i, lane in ipairs(lanes) do
    local told, n = leaseLane(lane, t, nonce)
    batch[3][i], names[i] = told, lane .. string.format('%02d', n)
  end
  lease(nonce, l.id, t.names, table.concat(names))
  l.flying, l.used = l.flying + 1, l.used + 1
  return batch
end
