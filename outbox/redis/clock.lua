-- Every script: the one clock, the line of a queue, the history, and a command with many values.
--
-- ARGV[1]  the time in microseconds, for tests alone; else empty
-- ARGV[2]  how many events the history keeps, about
local call = redis.call
local function us(n) return string.format('%.0f', n) end

local now = tonumber(ARGV[1])
if not now then
  local t = call('TIME')
  now = t[1] * 1000000 + t[2]
end
local NOW = us(now)

-- line puts a lane to the ready ones of its queue: RPUSH behind them, LPUSH before them.
local function line(push, queue, lane)
  if call(push, P .. READY .. queue, lane) == 1 then call('ZADD', P .. DUE, 'LT', NOW, queue) end
end

-- many gives a command all of the values, some at a time, and returns its last answer. Without a key they are keys.
local function many(command, key, values)
  local answer
  for at = 1, #values, 1000 do
    local last = math.min(at + 999, #values)
    if key then
      answer = call(command, key, unpack(values, at, last))
    else
      answer = call(command, unpack(values, at, last))
    end
  end
  return answer
end

local function event(kind, id, n, about, outcome)
  call('XADD', P .. HISTORY, 'MAXLEN', '~', ARGV[2], '*',
    'y', kind, 't', NOW, 'i', id, 'n', n, 'e', about or '', 'o', outcome)
end
