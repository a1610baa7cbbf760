-- history looks through events, newest first.
--
-- KEYS[1]  the prefix
-- ARGV[3]  the place to begin before, or "+"   [4] most events to return   [5] most to look at
-- ARGV[6]  webhook   [7] a text that the event must be about   [8] types with commas around them; each may be empty
-- ARGV[9]  since   [10] until, both in microseconds, or empty
--
-- Answers {where to go on, or empty at the end, events as {place, type, time, id, n, about, outcome}}. It writes
-- nothing.
local from, most, found = ARGV[3], tonumber(ARGV[4]), {}
for _ = 1, ARGV[5], 500 do
  local page = call('XREVRANGE', P .. HISTORY, from, '-', 'COUNT', 500)
  for _, e in ipairs(page) do
    local v = e[2]
    from = '(' .. e[1]
    local at, web = tonumber(v[4]), v[6]
    if ARGV[9] ~= '' and at < tonumber(ARGV[9]) - 3600000000 then return {'', found} end -- the clock goes back by less
    local fits = (ARGV[6] == '' or web == ARGV[6] or string.match(web, '^(.*)%-%d+$') == ARGV[6])
      and (ARGV[7] == '' or string.find(v[10], ARGV[7], 1, true))
      and (ARGV[8] == '' or string.find(ARGV[8], ',' .. v[2] .. ',', 1, true))
      and (ARGV[9] == '' or at >= tonumber(ARGV[9])) and (ARGV[10] == '' or at < tonumber(ARGV[10]))
    if fits then
      if #found == most then return {found[most][1], found} end
      found[#found + 1] = {e[1], v[2], v[4], web, v[8], v[10], v[12]}
    end
  end
  if #page < 500 then return {'', found} end
end
return {string.sub(from, 2), found}
