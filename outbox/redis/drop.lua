-- drop gives up dead letters.
--
-- KEYS[1]  the prefix
-- ARGV[3]  retention of dead letters, microseconds; then ids
--
-- Answers of each id why it was not dropped, or an empty text. First write: a removal, so that a full Redis can be
-- emptied.
local answer = {}
call('ZREM', P .. ENDS, '')
for at = 4, #ARGV do
  local v = letter(ARGV[at], ARGV[3], 'e', 'o')
  answer[at - 3] = v and '' or 'not_found'
  if v then
    remove(ARGV[at])
    event('dropped', ARGV[at], 0, v[2], v[3])
  end
end
return answer
