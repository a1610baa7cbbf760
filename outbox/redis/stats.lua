-- stats counts what is pending.
--
-- KEYS[1]  the prefix
-- ARGV[3]  most entries pending   [4] most bytes pending; then of each limiter: key, width of its window, microseconds
--
-- Answers {1 when it is full, pending, lanes, sends under way, dead letters, when the oldest was accepted, queues with
-- what is pending in each, their definitions, names of limiters held and until when, and of each limiter asked for the
-- slots in use}. It writes nothing.
local lanes = 0
for _, lease in ipairs(call('HVALS', P .. LEASES)) do lanes = lanes + #string.match(lease, '%S+$') / 24 end
local oldest = call('ZRANGE', P .. WAITING, 0, 0, 'WITHSCORES')
local pending, used = call('HGETALL', P .. PENDING), {}
local definitions = {}
for at = 1, #pending, 2 do
  definitions[#definitions + 1] = call('HGET', P .. QUEUES, pending[at]) or ''
  lanes = lanes + call('LLEN', P .. READY .. pending[at]) + call('ZCARD', P .. LATER .. pending[at])
end
for at = 5, #ARGV, 2 do
  local from = '(' .. us(now - ARGV[at + 1])
  used[#used + 1] = call('ZCOUNT', P .. STAMPS .. ARGV[at], from, '+inf')
    + call('ZCOUNT', P .. FLIGHT .. ARGV[at], from, '+inf')
end
local flying = call('ZCOUNT', P .. ENDS, '(' .. NOW, '+inf') - call('ZCOUNT', P .. FOLDS, '(' .. NOW, '+inf')
local holds = call('ZRANGEBYSCORE', P .. HOLDS, '(' .. NOW, '+inf', 'WITHSCORES')
for at = 1, #holds, 2 do holds[at] = call('HGET', P .. LIMITERS, holds[at]) end
return {full(1, ARGV[3], ARGV[4]) and 1 or 0, call('ZCARD', P .. WAITING), lanes, flying, call('ZCARD', P .. DEAD),
  oldest[2] or '', pending, definitions, holds, used}
