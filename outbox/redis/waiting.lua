-- waiting lists what is pending, newest accepted first.
--
-- KEYS[1]  the prefix
-- ARGV[3]  most entries   [4] the score to begin at, or "+inf"   [5] the entry of that score to begin after, or empty
-- ARGV[6]  webhook, or empty
--
-- Answers for each {id, score, what it is about}. It writes nothing.
local most, rows = tonumber(ARGV[3]), {}
local function add(id, score)
  if ARGV[5] ~= '' and tonumber(score) == tonumber(ARGV[4]) and id >= ARGV[5] then return end
  local web, n = string.match(id, '^(.*)%-(%d+)$')
  rows[#rows + 1] = {id, score, call('HGET', P .. WEB .. web, 'e' .. n) or ''}
end
if ARGV[6] == '' then
  local offset, page = 0, nil
  repeat
    page = call('ZREVRANGEBYSCORE', P .. WAITING, ARGV[4], '-inf', 'WITHSCORES', 'LIMIT', offset, most)
    for at = 1, #page, 2 do
      if #rows < most then add(page[at], page[at + 1]) end
    end
    offset = offset + most
  until #rows == most or #page < 2 * most
  return rows
end
for _, field in ipairs(call('HKEYS', P .. WEB .. ARGV[6])) do
  local n = string.match(field, '^e(%d+)$')
  local id = n and ARGV[6] .. '-' .. n
  local score = id and call('ZSCORE', P .. WAITING, id)
  if score and (ARGV[4] == '+inf' or tonumber(score) <= tonumber(ARGV[4])) then add(id, score) end
end
table.sort(rows, function(a, b)
  local one, other = tonumber(a[2]), tonumber(b[2])
  return one > other or one == other and a[1] > b[1]
end)
while #rows > most do rows[#rows] = nil end
return rows
