-- ARGV: the head that was seen: seq, hash; a name of this attempt to append; then fields and values of the
-- record that follows it. Returns nothing if the record is there, or else the head as it is: seq, hash.
local function field(entry, name)
  for i = 1, #entry[2], 2 do
    if entry[2][i] == name then return entry[2][i + 1] end
  end
end
local seq, hash = '0', ''
local last = redis.call('XREVRANGE', 'titan:audit', '+', '-', 'COUNT', 1)[1]
if last then seq, hash = string.match(last[1], '^(%d+)'), field(last, 'hash') end
local next_id = str(num(ARGV[1]) + 1) .. '-0'
if seq == ARGV[1] and (not last or hash == ARGV[2]) then
  redis.call('XADD', 'titan:audit', next_id, 'attempt', ARGV[3], unpack(ARGV, 4))
  return {}
end
-- It is there if the answer to a first try was lost.
local there = redis.call('XRANGE', 'titan:audit', next_id, next_id)[1]
if there and field(there, 'attempt') == ARGV[3] then return {} end
return { seq, hash }
