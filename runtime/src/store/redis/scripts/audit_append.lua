-- ARGV: the head that was seen: seq, hash; then fields and values of the record that follows it.
-- Returns whether the head was still that.
local seq, hash = '0', ''
local last = redis.call('XREVRANGE', 'titan:audit', '+', '-', 'COUNT', 1)[1]
if last then
  seq = string.match(last[1], '^(%d+)')
  for i = 1, #last[2], 2 do
    if last[2][i] == 'hash' then hash = last[2][i + 1] end
  end
end
if seq ~= ARGV[1] or (last and hash ~= ARGV[2]) then return 0 end
redis.call('XADD', 'titan:audit', str(num(seq) + 1) .. '-0', unpack(ARGV, 3))
return 1
