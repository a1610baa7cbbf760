-- settle ends a lease.
--
-- KEYS[1]  the prefix
-- A[1]     nonce   [2] result: sent, retry, dead, release or folded
-- A[3]     1: it ends the items   [4] 1: it counts as an attempt
-- A[5]     delay before the next try   [6] hold, both in microseconds   [7] why it is held
-- A[8]     ref     [9] reason   [10] detail   [11] 1: apart   [12] the rest, rendered   [13] outcome, for the history
-- A[14]    retention, ms   [15] 1: it uses up its slot   [16] what is told instead of what was folded; then the ids that
--          were claimed, or none
--
-- Answers 1, 0 when the lease is stale, or 2 when a digest has a rest: nothing has changed then.
-- First write: a removal, so that a full Redis can be drained.
-- Invariant: an entry ends only by the lease that has it; a slot is in use from the claim until a window after this.
local function settle()
  local nonce, result, ends, pause, hold = A[1], A[2], A[3] == '1', tonumber(A[5]), tonumber(A[6])
  local lease = call('HGET', P .. LEASES, nonce)
  if not lease then return 0 end
  local stop, id, names, rest = string.match(lease, '^(%d+) (%S+) (%S+) (.+)$')
  if tonumber(stop) <= now then return 0 end
  if id == '-' then return settleFold(nonce, tonumber(names), string.sub(rest, 1, 22)) end
  if result == 'folded' then return 0 end
  local lanes, named = {}, 16
  for lane, n in string.gmatch(rest, '(' .. string.rep('.', 22) .. ')(%d%d)') do
    local items = call('LRANGE', P .. ITEMS .. lane, 0, tonumber(n))
    local next = #items > tonumber(n) and string.sub(table.remove(items), 1, 22)
    for i, text in ipairs(items) do
      items[i], named = item(text), named + 1
      if #A > 16 and A[named] ~= items[i].id then return 0 end
    end
    lanes[#lanes + 1] = {lane = lane, items = items, next = next}
  end
  if #A > 16 and named ~= #A then return 0 end
  if #lanes > 1 and A[12] ~= '' then return 2 end

  call('HDEL', P .. LEASES, nonce)
  local limiter = limiterOf(id)
  nonces[#nonces + 1], limiter.sends[#limiter.sends + 1] = nonce, nonce
  if A[15] == '1' then
    limiter.stamps[#limiter.stamps + 1], limiter.stamps[#limiter.stamps + 2] = NOW, nonce
  end
  if hold > 0 then
    stopLimiter(id, now + hold, A[7])
    limiter.probing = true
  elseif limiter.probing and result == 'sent' then
    call('HDEL', P .. LIMITER .. id, 'probing')
    limiter.probing = false
  end

  for i, l in ipairs(lanes) do
    local key, items = P .. LANE .. l.lane, l.items
    local has = call('HMGET', key, 'tries', 'newest', 'due', 'crashes', 'rigid')
    local try = (has[1] or 0) + 1
    for _, it in ipairs(items) do open(it) end
    if result ~= 'release' then tell(items, try, ends) end
    if A[8] ~= '' then call('HSET', key, 'ref', A[8]) end
    if ends then
      local newest = items[#items]
      local first = not (has[1] or has[3] or has[4] or has[5]) -- nothing is known of the head but its lease
      if result == 'sent' and newest.at >= (tonumber(has[2]) or newest.at) then
        call('HSET', key, 'newest', us(newest.at), 'x', newest.x, 'told', NOW, 'lease', '')
      else
        first = false
      end
      if not first then forget(l.lane) end
      for _, it in ipairs(items) do
        if result == 'dead' then bury(l.lane, it, try, A[13]) end
        finish(it, names)
      end
      after(l.lane, #items, A[14], l.next)
    else
      keep(key, try, #items, #lanes > 1)
      back(l.lane, items[1].queue, i)
    end
  end
  return 1
end

return each(settle, function()
  release()
  depart()
end)
