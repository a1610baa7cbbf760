-- dead lists dead letters, newest received first.
--
-- KEYS[1]  the prefix
-- ARGV[3]  retention of dead letters, microseconds   [4] most
-- ARGV[5]  the first and [6] the last, as ZREVRANGEBYLEX has them
-- ARGV[7]  1: with their bodies
--
-- Answers for each {id, when it failed, attempt, what it is about, outcome, body}, or {id} when it is past its time. It
-- writes nothing.
local answer = {}
for i, id in ipairs(call('ZREVRANGEBYLEX', P .. DEAD, ARGV[5], ARGV[6], 'LIMIT', 0, ARGV[4])) do
  local v = letter(id, ARGV[3], 'n', 'e', 'o', ARGV[7] == '1' and 'b' or '')
  answer[i] = v and {id, v[1], v[2], v[3], v[4], v[5] or ''} or {id}
end
return answer
