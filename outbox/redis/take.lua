-- The claim: leasing lanes. What leases have in common is written by keepLeases, once in a claim.

-- leases are the fields that are to come, and ends when each of them is over, in pairs of that and its nonce; flights has
-- the same of each limiter.
local leases, ends, flights = {}, {}, {}

-- lease notes that lanes, each with how many entries it tells, are leased with a slot of a limiter.
local function lease(nonce, limiter, names, lanes)
  local stop, flight = us(now + ARGV[5]), flights[limiter] or {}
  leases[#leases + 1] = nonce
  leases[#leases + 1] = stop .. ' ' .. limiter .. ' ' .. names .. ' ' .. lanes
  ends[#ends + 1], ends[#ends + 2] = stop, nonce
  flight[#flight + 1], flight[#flight + 2], flights[limiter] = stop, nonce, flight
end

local function keepLeases()
  many('HSET', P .. LEASES, leases)
  many('ZADD', P .. ENDS, ends)
  for limiter, flight in pairs(flights) do many('ZADD', P .. FLIGHT .. limiter, flight) end
end

-- lapse ends a lease that nobody settled: its slot counts as used at its end, which a clock that was set back has made
-- sooner than the lease says.
local function lapse(nonce)
  local lease = call('HGET', P .. LEASES, nonce)
  call('HDEL', P .. LEASES, nonce)
  call('ZREM', P .. ENDS, nonce)
  if not lease then return end
  local stop, id, _, lanes = string.match(lease, '^(%d+) (%S+) (%S+) (.+)$')
  if id == '-' then
    call('ZREM', P .. FOLDS, nonce)
    unfold(string.sub(lanes, 1, 22))
    return
  end
  call('ZREM', P .. FLIGHT .. id, nonce)
  stamp(id, {us(math.min(tonumber(stop), now)), nonce}, call('HGET', P .. LIMITER .. id, 'per'))
  wake(id)
  for at = #lanes - 23, 1, -24 do
    local lane = string.sub(lanes, at, at + 21)
    local queue = head(lane)
    if queue then
      call('HDEL', P .. LANE .. lane, 'lease')
      call('HINCRBY', P .. LANE .. lane, 'crashes', 1)
      line('LPUSH', queue, lane)
      overflow(lane)
    end
  end
end

-- orphans are the queues whose lanes have waited for their integration for too long; else, when the first will have.
local function orphans()
  local gone, soonest = {}, nil
  local missing = call('ZRANGE', P .. MISSING, 0, -1, 'WITHSCORES')
  if #missing == 0 then return gone end
  local since = {}
  for at = 1, #missing, 2 do since[missing[at]] = tonumber(missing[at + 1]) + ARGV[7] end
  for _, queue in ipairs(call('HKEYS', P .. PENDING)) do
    local t = termsOf(queue)
    local at = not t.messages and since[t.integration]
    if at and call('EXISTS', P .. READY .. queue, P .. LATER .. queue) > 0 then
      if at <= now then gone[#gone + 1] = queue end
      soonest = math.min(soonest or at, at)
    end
  end
  return gone, soonest
end

-- single tells whether a lane tells its head alone because of what became of it before: it could not be read with
-- others, or three leases of it in a row ended without a settle.
local function single(alone, crashes) return alone or tonumber(crashes or 0) >= 3 end

-- together is how many entries of a lane, from its head, are told in one message.
local function together(lane, has, t, items)
  local bound = tonumber(has[3]) or 0
  if bound > 0 then return bound end
  if not t.merge or single(has[5], has[2]) or items[1].late then return 1 end
  local n = 1
  while n < #items and items[n + 1].queue == items[1].queue and not items[n + 1].late do n = n + 1 end
  return n
end

local function laneFields(lane)
  return call('HMGET', P .. LANE .. lane, 'tries', 'crashes', 'bound', 'apart', 'alone', 'ref', 'x', 'rest', 'peer',
    'told')
end

-- leaseLane returns what a lane tells next, and how many entries that are.
local function leaseLane(lane, t, nonce)
  local has, items = laneFields(lane), {}
  for i, text in ipairs(call('LRANGE', P .. ITEMS .. lane, 0, t.merge and 19 or math.max(0, (has[3] or 0) - 1))) do
    items[i] = item(text)
  end
  local n, out = together(lane, has, t, items), {}
  for i = 1, n do
    local it = items[i]
    local v = call('HMGET', it.web, 'e' .. it.n, 'x' .. it.n, it.body)
    out[i] = {it.id, it.late or '', v[1], i == n and v[2], v[3], it.folded, it.since}
  end
  call('HSET', P .. LANE .. lane, 'lease', nonce)
  return {has[1] or '0', has[2] or '0', has[6], has[7], has[10], has[8], out}, n
end

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
