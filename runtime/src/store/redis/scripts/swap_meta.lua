-- ARGV: key, empty if none is expected, what is expected, value. Returns whether it was so.
local found = redis.call('HGET', 'titan:meta', ARGV[1])
local expected = ARGV[2] ~= '' and ARGV[3]
if found ~= expected then return 0 end
redis.call('HSET', 'titan:meta', ARGV[1], ARGV[4])
return 1
