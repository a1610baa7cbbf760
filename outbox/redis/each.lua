-- Scripts that take several calls in one run. ARGV has of each call how many arguments it has, and then those.

-- A has the arguments of the call at hand.
local A

-- each takes the step of each call and answers what they answer. One that fails takes no other with it: its answer is
-- the text of the error, since an error within a list is not for every client. What several of them change is written
-- at the end, once. A server that takes no writes at all ends the run, so that the client looks for another one.
local function each(step, write)
  local answers, at = {}, 3
  while at <= #ARGV do
    A = {}
    for i = 1, tonumber(ARGV[at]) do A[i] = ARGV[at + i] end
    at = at + #A + 1
    local ok, answer = pcall(step)
    local failed = not ok and (type(answer) == 'table' and answer.err or 'ERR ' .. answer)
    if failed and string.find(failed, '^READONLY') then return {err = failed} end
    answers[#answers + 1] = failed or answer
  end
  write()
  return answers
end
