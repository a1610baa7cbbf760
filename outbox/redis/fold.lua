-- The claim: lanes in which too much waits.

-- foldable finds more than twenty items in a row that can be one: from where on. What is half told stays as it is, and
-- so does a head that is told alone.
local function foldable(items, bound, alone)
  local from = bound > 0 and bound or alone and 1 or 0
  for at = from, #items - 1 do
    local it = items[at + 1]
    if it.late then from = at + 1 elseif it.queue ~= items[from + 1].queue then from = at end
    if at - from >= 20 then return from end
  end
end

-- fold leases the items of a lane that are to be one, if there are too many, and returns the batch. Until then the lane
-- is nowhere else.
local function fold(lane, nonce)
  local has = call('HMGET', P .. LANE .. lane, 'lease', 'rigid', 'bound', 'alone', 'crashes', 'place')
  if (has[1] or '') ~= '' then return end
  local items = {}
  for i, text in ipairs(call('LRANGE', P .. ITEMS .. lane, 0, 199)) do items[i] = item(text) end
  local t = items[1] and termsOf(items[1].queue)
  if t and not t.messages then return end -- another relay knows its integration
  local from = t and t.merge and not has[2] and foldable(items, tonumber(has[3] or 0), single(has[4], has[5]))
  if not from then
    call('ZREM', P .. FULL, lane)
    return
  end
  local out, queue, stop = {}, items[1].queue, us(now + ARGV[5])
  for i = 1, 20 do
    local it = items[from + i]
    local v = call('HMGET', it.web, 'e' .. it.n, it.body)
    out[i] = {it.id, '', v[1], false, v[2], it.folded, it.since}
  end
  if call('LREM', P .. READY .. queue, 1, lane) == 0 then call('ZREM', P .. LATER .. queue, has[6] or '') end
  call('HSET', P .. LANE .. lane, 'lease', nonce)
  call('HSET', P .. LEASES, nonce, stop .. ' - ' .. from .. ' ' .. lane .. '20')
  call('ZADD', P .. ENDS, stop, nonce)
  call('ZADD', P .. FOLDS, stop, nonce)
  return {nonce, '', {{'0', '0', false, false, false, false, out}}}
end
