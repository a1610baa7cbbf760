-- The settle: what becomes of a limiter, and of lanes that go on.

-- stamp counts a send. No more stamps are kept than any limit ever asked for, but always some, for an integration with a
-- limit that comes to share the limiter with one without.
local function stamp(limiter, nonce)
  local widest = call('HMGET', P .. LIMITER .. limiter, 'per', 'most')
  call('ZADD', P .. STAMPS .. limiter, NOW, nonce)
  call('ZREMRANGEBYRANK', P .. STAMPS .. limiter, 0, -1 - math.max(32, widest[2] or 0))
  call('PEXPIRE', P .. STAMPS .. limiter, 60000 + math.max(60000, math.ceil((widest[1] or 0) / 1000)))
end

-- stopLimiter holds a limiter until the given time, or as long as it is held already.
local function stopLimiter(limiter, untilThen, reason)
  local key = P .. LIMITER .. limiter
  if untilThen > (tonumber(call('HGET', key, 'hold')) or 0) then
    call('HSET', key, 'hold', us(untilThen), 'reason', reason)
    call('ZADD', P .. HOLDS, us(untilThen), limiter)
  end
  call('HSET', key, 'probing', 1)
end

-- tell writes the history: what became of the newest entry became of all, but those told within it are merged.
local function tell(items, try, ends)
  local kinds = {sent = 'sent', retry = 'retrying', dead = 'failed'}
  for i, it in ipairs(items) do
    local about = (ends or i == #items) and call('HGET', it.web, 'e' .. it.n)
    if i == #items or ends and ARGV[4] == 'dead' then
      event(kinds[ARGV[4]], it.id, try, about, ARGV[15])
    elseif ends then
      event('merged', it.id, 0, about, items[#items].id)
    end
  end
end

-- keep notes what became of the head of a lane that goes on, and what is left to tell of it.
local function keep(key, try, n, shared)
  call('HDEL', key, 'crashes')
  if ARGV[6] == '1' then call('HSET', key, 'tries', try) end
  if ARGV[14] ~= '' then call('HSET', key, 'rest', ARGV[14], 'bound', n) end
  if ARGV[13] == '1' and shared then
    call('HSET', key, 'apart', 1)
  elseif ARGV[13] == '1' then
    call('HDEL', key, 'rest', 'bound')
    call('HSET', key, 'alone', 1)
  end
  if ARGV[4] ~= 'release' then call('HSET', key, 'reason', ARGV[11], 'detail', ARGV[12]) end
  call('HSET', key, 'due', us(now + ARGV[7]))
end

-- back puts a lane that goes on into line: where it was when it was not tried, else behind the others or for later. Of
-- several lanes it is the one with this number; they keep their order.
local function back(lane, queue, number)
  local due = NOW
  if tonumber(ARGV[7]) > 0 then
    due = us(now + ARGV[7])
    call('ZADD', P .. LATER .. queue, due, string.format('%02d', number) .. lane)
  elseif ARGV[4] == 'release' then
    call('LPUSH', P .. READY .. queue, lane)
  else
    call('RPUSH', P .. READY .. queue, lane)
  end
  call('ZADD', P .. DUE, 'LT', due, queue)
end
