-- queues lists what lanes can be told with, for those who write down what a configuration says of it.
--
-- KEYS[1]  the prefix
-- ARGV[3]  configuration
--
-- Answers {gen, gen of what is written down of the configuration, key and definition of each queue}; no queues when the
-- two are the same. It writes nothing.
local gen, written = call('HGET', P .. STATE, 'gen') or '0', call('HGET', P .. TERMS .. ARGV[3], 'gen') or ''
return {gen, written, gen == written and {} or call('HGETALL', P .. QUEUES)}
