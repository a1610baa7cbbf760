-- The claim: leases, and what of a lane they have. What they have in common is written by keepLeases, once in a claim.

-- leases are the fields that are to come, and ends when each of them is over, in pairs of that and its nonce; flights has
-- the same of each limiter.
local leases, ends, flights = {}, {}, {}

-- lease notes that lanes, each with how many entries it tells, are leased with a slot of a limiter.
local function lease(nonce, limiter, names, lanes)
  local stop, flight = us(now + ARGV[5]), flights[limiter] or {}
  leases[#leases + 1] = nonce
  leases[#leases + 1] = stop .. ' ' .. limiter .. ' ' .. names .. ' ' .. lanes
  ends[#ends + 1], ends[#ends + 2] = stop, nonce
  flight[#flight + 1], flight[#flight + 2], flights[limiter] = stop, nonce, flight
end

local function keepLeases()
  many('HSET', P .. LEASES, leases)
  many('ZADD', P .. ENDS, ends)
  for limiter, flight in pairs(flights) do many('ZADD', P .. FLIGHT .. limiter, flight) end
end

-- single tells whether a lane tells its head alone because of what became of it before: it could not be read with
-- others, or three leases of it in a row ended without a settle.
local function single(alone, crashes) return alone or tonumber(crashes or 0) >= 3 end

-- together is how many entries of a lane, from its head, are told in one message.
local function together(lane, has, t, items)
  local bound = tonumber(has[3]) or 0
  if bound > 0 then return bound end
  if not t.merge or single(has[5], has[2]) or items[1].late then return 1 end
  local n = 1
  while n < #items and items[n + 1].queue == items[1].queue and not items[n + 1].late do n = n + 1 end
  return n
end

local function laneFields(lane)
  return call('HMGET', P .. LANE .. lane, 'tries', 'crashes', 'bound', 'apart', 'alone', 'ref', 'x', 'rest', 'peer',
    'told')
end

-- leaseLane returns what a lane tells next, and how many entries that are.
local function leaseLane(lane, t, nonce)
  local has, items = laneFields(lane), {}
  for i, text in ipairs(call('LRANGE', P .. ITEMS .. lane, 0, t.merge and 19 or math.max(0, (has[3] or 0) - 1))) do
    items[i] = item(text)
  end
  local n, out = together(lane, has, t, items), {}
  for i = 1, n do
    local it = items[i]
    local v = call('HMGET', it.web, 'e' .. it.n, 'x' .. it.n, it.body)
    out[i] = {it.id, it.late or '', v[1], i == n and v[2], v[3], it.folded, it.since}
  end
  call('HSET', P .. LANE .. lane, 'lease', nonce)
  return {has[1] or '0', has[2] or '0', has[6], has[7], has[10], has[8], out}, n
end
