-- ARGV: id, incarnation.
local record = pop_record(ARGV[1])
if not record or record.incarnation ~= num(ARGV[2]) then return 0 end
redis.call('HSET', 'titan:pop:' .. ARGV[1], 'draining', '1')
return 1
