-- ARGV: id, incarnation, url, info, now, lease_until, what is forgotten before. Returns how much is
-- left to tidy.
local id, incarnation, now = ARGV[1], num(ARGV[2]), num(ARGV[5])
local key, record = 'titan:pop:' .. id, pop_record(id)
if record and record.incarnation > incarnation then
  return redis.error_reply('SUPERSEDED a newer process took over')
end
if not record or record.incarnation < incarnation then
  redis.call('HSET', key, 'node_count', '0')
  redis.call('HDEL', key, 'draining')
  redis.call('HSET', 'titan:tidy', id, '-')
end
-- Its nodes are back with its lease.
if redis.call('HDEL', key, 'away') == 1 then redis.call('HSET', 'titan:tidy', id, '-') end
redis.call('HSET', key, 'incarnation', ARGV[2], 'url', ARGV[3], 'info', ARGV[4], 'lease_until', ARGV[6])
redis.call('ZADD', 'titan:pops', ARGV[6], id)
for _, other in ipairs(redis.call('ZRANGEBYSCORE', 'titan:pops', '-inf', ARGV[5])) do
  if other ~= id and redis.call('HSETNX', 'titan:pop:' .. other, 'away', '1') == 1 then
    redis.call('HSET', 'titan:tidy', other, '-')
  end
end
for _, other in ipairs(redis.call('ZRANGEBYSCORE', 'titan:pops', '-inf', '(' .. ARGV[7])) do
  redis.call('DEL', 'titan:pop:' .. other)
  redis.call('ZREM', 'titan:pops', other)
  redis.call('HSET', 'titan:tidy', other, '-')
end
return redis.call('HLEN', 'titan:tidy')
