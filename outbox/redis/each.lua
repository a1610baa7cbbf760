-- Scripts that take several calls in one run. ARGV has of each call how many arguments it has, and then those.

-- A has the arguments of the call at hand.
local A

-- failed is the answer of a step that a command has ended, whose error begins with its kind, or a mistake in the script.
local function failed(why)
  if type(why) == 'table' then return why end
  return {err = string.find(why, '^%u+ ') and why or 'ERR ' .. why}
end

-- each takes the step of each call and answers what they answer. One that fails takes no other with it. What several
-- of them change is written at the end, once.
local function each(step, write)
  local answers, at = {}, 3
  while at <= #ARGV do
    A = {}
    for i = 1, tonumber(ARGV[at]) do A[i] = ARGV[at + i] end
    at = at + #A + 1
    local ok, answer = pcall(step)
    answers[#answers + 1] = ok and answer or failed(answer)
  end
  write()
  return answers
end
