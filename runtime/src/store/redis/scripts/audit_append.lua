-- ARGV: the head that was seen: seq, hash; a name of this attempt to append; then of each record that follows it
-- 7 fields with their values. Returns nothing if the records are there, or else the head as it is: seq, hash.
local TEXTS = 14
local function field(entry, name)
  for i = 1, #entry[2], 2 do
    if entry[2][i] == name then return entry[2][i + 1] end
  end
end
local seq, hash = '0', ''
local last = redis.call('XREVRANGE', 'titan:audit', '+', '-', 'COUNT', 1)[1]
if last then seq, hash = string.match(last[1], '^(%d+)'), field(last, 'hash') end
local next_seq = num(ARGV[1]) + 1
if seq == ARGV[1] and (not last or hash == ARGV[2]) then
  for i = 4, #ARGV, TEXTS do
    local id = str(next_seq + (i - 4) / TEXTS) .. '-0'
    redis.call('XADD', 'titan:audit', id, 'attempt', ARGV[3], unpack(ARGV, i, i + TEXTS - 1))
  end
  return {}
end
-- They are there if the answer to a first try was lost.
local next_id = str(next_seq) .. '-0'
local there = redis.call('XRANGE', 'titan:audit', next_id, next_id)[1]
if there and field(there, 'attempt') == ARGV[3] then return {} end
return { seq, hash }
