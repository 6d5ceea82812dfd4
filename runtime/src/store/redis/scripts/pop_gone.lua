-- ARGV: id, incarnation. Returns how much is left to tidy.
local id, record = ARGV[1], pop_record(ARGV[1])
if record and record.retiring == num(ARGV[2]) then
  redis.call('HDEL', 'titan:pop:' .. id, 'retiring', 'retiring_until')
  redis.call('HSET', 'titan:tidy', id, '-')
elseif record and record.incarnation <= num(ARGV[2]) then
  redis.call('DEL', 'titan:pop:' .. id)
  redis.call('ZREM', 'titan:pops', id)
  redis.call('HSET', 'titan:tidy', id, '-')
end
return redis.call('HLEN', 'titan:tidy')
