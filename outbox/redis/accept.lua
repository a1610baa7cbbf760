-- accept stores one webhook, all or nothing, unless it is a duplicate.
--
-- KEYS[1]  the prefix
-- A[1]     slot          [2] state         [3] window, microseconds   [4] id of the webhook
-- A[5]     1: a reminder [6] its event     [7] retention, ms
-- A[8]     most entries pending            [9] most bytes pending
-- A[10]    how many saved alerts, then for each: key, value
-- then     how many bodies, then each
-- then     for each entry: lane, queue, definition, peer, state, number of its body, about, the rest, 1: silent
--
-- Answers {0, id, entries stored}, {1, id of the first copy} or {2}: full.
-- First write: a duplicate's event, or the mark; both may grow, so a full Redis refuses the whole.
-- Invariant: once the mark says that a state was accepted, its entries are pending.

-- order is when the last was accepted, which says what is newer: a clock that was set back counts on from where it was,
-- and so do the accepts of one run.
local order

local function advance()
  if order then
    order = order + 1
  else
    order = tonumber(call('HGET', P .. STATE, 'order')) or 0
    order = order > now and order + 1 or now
  end
  return us(order)
end

local function accept()
  local slot, state, id, about = A[1], A[2], A[4], A[6]
  local web = P .. WEB .. id
  local last, at, known = marked(slot)
  local same, first = last == state, nil
  if known == id or call('EXISTS', web) == 1 then
    first = id
  elseif same and math.abs(now - at) < tonumber(A[3]) then
    first = known
  end
  if first then
    event('duplicate', first, 0, about, '')
    return {1, first}
  end

  local saved = 10
  local bodies = saved + 2 * A[saved] + 1
  local repeated, states, kept, silent, size = A[5] == '1' or same, {}, {}, {}, 0
  for at = bodies + A[bodies] + 1, #A, 9 do
    local lane, part = A[at], A[at + 4]
    if A[at + 8] == '1' then
      silent[#silent + 1] = at
    elseif repeated or (states[lane] or call('HGET', P .. LANE .. lane, 's')) ~= part then
      states[lane] = part
      kept[#kept + 1] = at
    end
  end
  if full(#kept, A[8], A[9]) then return {2} end

  call('SET', P .. MARK .. slot, state .. NOW .. id, 'PX', A[7])
  for at = saved + 1, bodies - 2, 2 do
    call('SET', P .. SAVED .. A[at], NOW .. A[at + 1], 'NX', 'PX', A[7])
  end
  for _, at in ipairs(silent) do
    local lane = P .. LANE .. A[at]
    if call('HEXISTS', lane, 's') == 1 then
      call('HSET', lane, 's', A[at + 4])
      if call('EXISTS', P .. ITEMS .. A[at]) == 0 then call('HSET', lane, 'x', A[at + 7]) end
    end
  end
  local score, stored, fields = advance(), {}, {}
  local function store(field, value)
    fields[#fields + 1], fields[#fields + 2] = field, value
    size = size + #value
  end
  for _, at in ipairs(kept) do
    local lane, queue, k = A[at], A[at + 1], A[at + 5]
    local n = string.format('%d', (at - bodies - A[bodies] - 1) / 9)
    store('e' .. n, A[at + 6])
    store('x' .. n, A[at + 7])
    if not stored[k] then store('b' .. k, A[bodies + 1 + k]) end
    stored[k] = true
    call('HSET', P .. LANE .. lane, 's', A[at + 4], 'peer', A[at + 3])
    local entry = id .. '-' .. n
    enqueue(lane, queue, A[at + 2], queue .. ' ' .. score .. ' 0 ' .. k .. ' 0 0 ' .. entry, score, entry)
  end
  if #kept > 0 then
    bytes = bytes + size
    local last = #fields
    fields[last + 1], fields[last + 2], fields[last + 3], fields[last + 4] = 'o', #kept, 'z', size
    for at = 1, #fields, 1000 do call('HSET', web, unpack(fields, at, math.min(at + 999, #fields))) end
  end
  event('accepted', id, #kept, about, '')
  return {0, id, #kept}
end

return each(accept, function()
  arrive()
  if #entries > 0 then call('HSET', P .. STATE, 'order', us(order)) end
end)
