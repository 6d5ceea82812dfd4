-- ARGV: id, incarnation.
local record = pop_record(ARGV[1])
if not is_known(record, num(ARGV[2])) then return 0 end
if record.retiring == num(ARGV[2]) then return 1 end
return redis.call('HEXISTS', 'titan:pop:' .. ARGV[1], 'draining')
