-- ARGV: id, incarnation.
local record = pop_record(ARGV[1])
if not is_known(record, num(ARGV[2])) then return 0 end
if record.retiring == num(ARGV[2]) then return 1 end
redis.call('HSET', 'titan:pop:' .. ARGV[1], 'draining', '1')
return 1
