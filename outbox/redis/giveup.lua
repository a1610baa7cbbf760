-- giveup makes dead letters of what has waited too long for an integration that is configured no more.
--
-- KEYS[1]  the prefix
-- ARGV[3]  how long it may wait, microseconds   [4] retention, ms   [5] outcome, for the history
-- ARGV[6]  most lanes; then queues
--
-- Answers how many lanes it ended, whether there may be more, and for each entry that it ended the definition of its
-- queue.
-- First write: a removal.
-- Invariant: a lane that is leased is left alone.
call('ZREM', P .. ENDS, '')
local lanes, more, ended = {}, 0, {}
local function add(lane, definition)
  local items = {}
  for i, text in ipairs(call('LRANGE', P .. ITEMS .. lane, 0, -1)) do items[i] = item(text) end
  lanes[#lanes + 1] = {lane = lane, items = items, definition = definition}
end
for at = 7, #ARGV do
  local queue, most = ARGV[at], ARGV[6] - #lanes
  local definition = call('HGET', P .. QUEUES, queue)
  local since = definition and call('ZSCORE', P .. MISSING, string.sub(definition, 1, 22))
  if since and since + ARGV[3] <= now and most > 0 then
    local ready = call('LPOP', P .. READY .. queue, most) or {}
    for _, lane in ipairs(ready) do add(lane, definition) end
    for _, name in ipairs(call('ZRANGE', P .. LATER .. queue, 0, most - #ready - 1)) do
      if #ready < most then
        call('ZREM', P .. LATER .. queue, name)
        add(string.sub(name, 3), definition)
      end
    end
    if call('EXISTS', P .. READY .. queue, P .. LATER .. queue) > 0 then more = 1 else call('ZREM', P .. DUE, queue) end
  end
end
table.sort(lanes, function(a, b) return a.items[1].id < b.items[1].id end)
for _, l in ipairs(lanes) do
  local try = (call('HGET', P .. LANE .. l.lane, 'tries') or 0) + 1
  for _, it in ipairs(l.items) do
    open(it)
    event('failed', it.id, try, it.e, ARGV[5])
    bury(l.lane, it, try, ARGV[5])
    finish(it)
    ended[#ended + 1] = l.definition
  end
  forget(l.lane)
  after(l.lane, #l.items, ARGV[4], nil)
end
depart()
return {#lanes, more, ended}
