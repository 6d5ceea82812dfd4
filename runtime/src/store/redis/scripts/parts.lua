-- One holder's part of a user's account, as a text of seven numbers: granted, returned, forgiven,
-- uploaded, downloaded, sessions, reported_at.
local function read_part(text)
  local part = {}
  for number in string.gmatch(text or '0 0 0 0 0 0 0', '%d+') do part[#part + 1] = num(number) end
  return part
end
local function write_part(part)
  local text = {}
  for i = 1, 7 do text[i] = str(part[i]) end
  return table.concat(text, ' ')
end
local function charge(part) return math.max(part[1] - part[2] - part[3], 0) end
-- The incarnation and the POP that a field of an account names; none for another field.
local function holder_of(field)
  local incarnation, pop = string.match(field, '^(%d+)@(.*)$')
  return incarnation and num(incarnation), pop
end
