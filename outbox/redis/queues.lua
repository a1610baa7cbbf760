-- queues lists what lanes can be told with.
--
-- KEYS[1]  the prefix
--
-- Answers key and definition of each queue. It writes nothing.
return call('HGETALL', P .. QUEUES)
