-- Scripts that compare a webhook with what was last accepted in its slot.

-- marked returns that state, when it was accepted, and the id.
local function marked(slot)
  local mark = call('GET', P .. MARK .. slot)
  if mark then return string.sub(mark, 1, 16), tonumber(string.sub(mark, 17, 32)), string.sub(mark, 33) end
end
