-- Scripts that make entries pending.

-- enqueue puts an item at the end of its lane.
local function enqueue(lane, queue, definition, text)
  local waiting = call('RPUSH', P .. ITEMS .. lane, text)
  if waiting > 20 then call('ZADD', P .. FULL, 0, lane) end
  if waiting == 1 then
    call('PERSIST', P .. LANE .. lane)
    line('RPUSH', queue, lane)
  end
  if call('HINCRBY', P .. PENDING, queue, 1) > 1 then return end
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

-- full tells whether so many more entries are too many.
local function full(entries, maxPending, maxBytes)
  local bytes = tonumber(call('HGET', P .. STATE, 'bytes')) or 0
  return call('ZCARD', P .. WAITING) + entries > tonumber(maxPending) or bytes >= tonumber(maxBytes)
end
