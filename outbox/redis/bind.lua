-- bind writes down what a configuration says of each queue.
--
-- KEYS[1]  the prefix
-- ARGV[3]  configuration   [4] how long to keep it, ms
-- ARGV[5]  how many limiters, then for each: key, name; then fields and values of the terms
--
-- Answers nothing. First write: a removal. Invariant: the next claim with this configuration looks at every queue anew.
local key, first = P .. TERMS .. ARGV[3], 6 + 2 * ARGV[5]
call('DEL', key)
for at = 6, first - 1, 2 do call('HSET', P .. LIMITERS, ARGV[at], ARGV[at + 1]) end
for at = first, #ARGV, 2 do call('HSET', key, ARGV[at], ARGV[at + 1]) end
call('PEXPIRE', key, ARGV[4])
call('HDEL', P .. STATE, 'known')
return false
