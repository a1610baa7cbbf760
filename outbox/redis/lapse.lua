-- The claim: leases that are over, and lanes that nobody claims.

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
