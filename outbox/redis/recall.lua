-- recall tells what is known about a webhook before it is worked on.
--
-- KEYS[1]  the prefix
-- ARGV[3]  slot   [4] state   [5] window, microseconds   [6] retention, ms
-- ARGV[7]  how long what is saved may go untouched, microseconds; then the keys of alerts
--
-- Answers {1, id of the first copy}, or {0, for each alert the time and what is saved with it, or false}.
-- First write: a duplicate's event, so that waiting for replicas means something.
-- Invariant: what is saved with an alert that goes on is never forgotten.
local last, at, id = marked(ARGV[3])
if last == ARGV[4] and math.abs(now - at) < tonumber(ARGV[5]) then
  event('duplicate', id, 0, '', '')
  return {1, id}
end
local answer = {0}
for at = 8, #ARGV do
  local key = P .. SAVED .. ARGV[at]
  local value = call('GET', key)
  if value and now - tonumber(string.sub(value, 1, 16)) > tonumber(ARGV[7]) then
    call('SET', key, NOW .. string.sub(value, 17), 'PX', ARGV[6])
  end
  answer[#answer + 1] = value
end
return answer
