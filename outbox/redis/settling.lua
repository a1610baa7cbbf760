-- The settle: what becomes of a limiter, and of lanes that go on.

-- nonces are of the leases that end in this run, and limiters those that they had a slot of.
local nonces, limiters = {}, {}

-- limiterOf is a limiter with the sends of it that end, and the stamps that count them.
local function limiterOf(id)
  local l = limiters[id]
  if not l then
    local has = call('HMGET', P .. LIMITER .. id, 'per', 'most', 'probing', 'wait')
    l = {per = has[1], most = tonumber(has[2]) or 0, probing = has[3], wait = has[4], sends = {}, stamps = {}}
    limiters[id] = l
  end
  return l
end

-- release frees the slots of the leases that end. No more stamps are kept than any limit ever asked for, but always some,
-- for an integration with a limit that comes to share the limiter with one without.
local function release()
  many('ZREM', P .. ENDS, nonces)
  for id, l in pairs(limiters) do
    many('ZREM', P .. FLIGHT .. id, l.sends)
    if #l.stamps > 0 then
      stamp(id, l.stamps, l.per)
      if now % 8 == 0 then call('ZREMRANGEBYRANK', P .. STAMPS .. id, 0, -1 - math.max(32, l.most)) end
    end
    if l.wait then wake(id) end
  end
end

-- stopLimiter holds a limiter until the given time, or as long as it is held already.
local function stopLimiter(limiter, untilThen, reason)
  local key = P .. LIMITER .. limiter
  if untilThen > (tonumber(call('HGET', key, 'hold')) or 0) then
    call('HSET', key, 'hold', us(untilThen), 'reason', reason)
    call('ZADD', P .. HOLDS, us(untilThen), limiter)
  end
  call('HSET', key, 'probing', 1)
end

-- tell writes the history: what became of the newest entry became of all, but those told within it are merged.
local function tell(items, try, ends)
  local kinds = {sent = 'sent', retry = 'retrying', dead = 'failed'}
  for i, it in ipairs(items) do
        if i == #items or ends and A[2] == 'dead' then
      event(kinds[A[2]], it.id, try, it.e, A[13])
    elseif ends then
      event('merged', it.id, try, it.e, items[#items].id)
    end
  end
end

-- keep notes what became of the head of a lane that goes on, and what is left to tell of it.
local function keep(key, try, n, shared)
  call('HDEL', key, 'crashes', 'lease', 'place')
  if A[4] == '1' then call('HSET', key, 'tries', try) end
  if A[12] ~= '' then call('HSET', key, 'rest', A[12], 'bound', n) end
  if A[11] == '1' and shared then
    call('HSET', key, 'apart', 1)
  elseif A[11] == '1' then
    call('HDEL', key, 'rest', 'bound')
    call('HSET', key, 'alone', 1)
  end
  if A[2] ~= 'release' then call('HSET', key, 'reason', A[9], 'detail', A[10]) end
  call('HSET', key, 'due', us(now + A[5]))
end

-- back puts a lane that goes on into line: where it was when it was not tried, else behind the others or for later. Of
-- several lanes it is the one with this number; they keep their order.
local function back(lane, queue, number)
  if tonumber(A[5]) > 0 then
    local due = us(now + A[5])
    local place = string.format('%02d', number) .. lane
    call('ZADD', P .. LATER .. queue, due, place)
    call('HSET', P .. LANE .. lane, 'place', place)
    call('ZADD', P .. DUE, 'LT', due, queue)
  else
    line(A[2] == 'release' and 'LPUSH' or 'RPUSH', queue, lane)
  end
  overflow(lane)
end

-- settleFold ends the lease of a lane that was to be folded: some of its items, which stand from a place on, become the
-- newest of them, with a body of its own.
local function settleFold(nonce, from, lane)
  local items = call('LRANGE', P .. ITEMS .. lane, from, from + 19)
  for i, text in ipairs(items) do
    items[i] = item(text)
    if #A > 16 and A[16 + i] ~= items[i].id then return 0 end
  end
  local folded = A[2] == 'folded'
  if #A > 16 and #A ~= 36 or folded and #A == 16 or not folded and A[2] ~= 'release' then return 0 end
  call('HDEL', P .. LEASES, nonce)
  nonces[#nonces + 1] = nonce
  call('ZREM', P .. FOLDS, nonce)
  if not folded then
    if A[11] == '1' then call('HSET', P .. LANE .. lane, 'rigid', 1) end
    unfold(lane)
    return 1
  end
  local newest, n = items[20], 0
  local since = items[1].since ~= '0' and items[1].since or us(items[1].at)
  for i = 1, 19 do
    open(items[i])
    event('merged', items[i].id, 0, items[i].e, newest.id)
    finish(items[i])
    n = n + 1 + items[i].folded
    call('LSET', P .. ITEMS .. lane, from + i - 1, '')
  end
  local body = us(2000000 + newest.n)
  call('LSET', P .. ITEMS .. lane, from + 19, table.concat(
    {newest.queue, us(newest.at), '0', body, us(n + newest.folded), since, newest.id}, ' '))
  call('LREM', P .. ITEMS .. lane, 19, '')
  call('HSET', newest.web, 'b' .. body, A[16])
  call('HINCRBY', newest.web, 'z', #A[16])
  call('HINCRBY', P .. STATE, 'bytes', #A[16])
  call('ZADD', P .. WAITING, since, newest.id)
  unfold(lane)
  return 1
end
