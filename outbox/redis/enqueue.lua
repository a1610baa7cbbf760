-- Scripts that make entries pending. What entries have in common is written by arrive, once in a run.

-- arrivals has of each queue its definition, how many entries it gets, and the lanes that come into line there. Entries
-- are what begins to wait, as pairs of score and id, and bytes is how much they take.
local arrivals, entries, bytes = {}, {}, 0

-- enqueue puts an item at the end of its lane.
local function enqueue(lane, queue, definition, text, score, id)
  local waiting = call('RPUSH', P .. ITEMS .. lane, text)
  if waiting > 20 then call('ZADD', P .. FULL, 0, lane) end
  local q = arrivals[queue] or {definition = definition, entries = 0, lanes = {}}
  arrivals[queue], q.entries = q, q.entries + 1
  if waiting == 1 then
    call('PERSIST', P .. LANE .. lane)
    q.lanes[#q.lanes + 1] = lane
  end
  entries[#entries + 1], entries[#entries + 2] = score, id
end

-- begins notes that a queue has something pending.
local function begins(queue, definition)
  if call('HSETNX', P .. QUEUES, queue, definition) == 1 then
    call('HINCRBY', P .. STATE, 'gen', 1)
  end
  local integration = string.sub(definition, 1, 22)
  local known = call('HGET', P .. STATE, 'known')
  local terms = known and call('HMGET', P .. TERMS .. known, 'gen', 'i' .. integration)
  if terms and terms[1] and not terms[2] then
    call('ZADD', P .. MISSING, 'NX', NOW, integration)
  end
end

local function arrive()
  many('ZADD', P .. WAITING, entries)
  for queue, q in pairs(arrivals) do
    if many('RPUSH', P .. READY .. queue, q.lanes) == #q.lanes then call('ZADD', P .. DUE, 'LT', NOW, queue) end
    if call('HINCRBY', P .. PENDING, queue, q.entries) == q.entries then begins(queue, q.definition) end
  end
  if bytes > 0 then call('HINCRBY', P .. STATE, 'bytes', bytes) end
end

-- full tells whether so many more entries are too many.
local before
local function full(more, maxPending, maxBytes)
  before = before or {call('ZCARD', P .. WAITING), tonumber(call('HGET', P .. STATE, 'bytes')) or 0}
  return before[1] + #entries / 2 + more > tonumber(maxPending) or before[2] + bytes >= tonumber(maxBytes)
end
