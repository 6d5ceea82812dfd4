-- ARGV: id, incarnation.
local record = pop_record(ARGV[1])
if not record or record.incarnation ~= num(ARGV[2]) then return 0 end
return redis.call('HEXISTS', 'titan:pop:' .. ARGV[1], 'draining')
