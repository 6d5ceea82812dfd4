-- ARGV: id, incarnation, url, info, for how long it lives, after how long it is forgotten, nonce. Returns how
-- much is left to tidy.
local id, incarnation, now = ARGV[1], num(ARGV[2]), time()
local lease_until = str(now + num(ARGV[5]))
local key, record = 'titan:pop:' .. id, pop_record(id)
if record and record.incarnation > incarnation and record.retiring == incarnation then
  redis.call('HSET', key, 'retiring_until', lease_until)
  return redis.call('HLEN', 'titan:tidy')
end
local is_other = record and record.incarnation == incarnation and record.nonce and record.nonce ~= ARGV[7]
if record and record.incarnation > incarnation or is_other then
  return redis.error_reply('SUPERSEDED a newer process took over')
end
-- The server's clock was set back: no lease may last until it is as late again.
local heard = num(redis.call('HGET', 'titan:run', 'heard'))
if now < heard then rebase(heard, now) end
redis.call('HSET', 'titan:run', 'heard', str(now))
if not record or record.incarnation < incarnation then
  redis.call('HSET', key, 'node_count', '0')
  redis.call('HDEL', key, 'draining', 'retiring', 'retiring_until')
  if record and record.draining and record.lease_until > now then
    redis.call('HSET', key, 'retiring', str(record.incarnation), 'retiring_until', str(record.lease_until))
  end
  redis.call('HSET', 'titan:tidy', id, '-')
end
if record and record.incarnation == incarnation and record.retiring and record.retiring_until <= now then
  redis.call('HDEL', key, 'retiring', 'retiring_until')
  redis.call('HSET', 'titan:tidy', id, '-')
end
-- Its nodes are back with its lease.
if redis.call('HDEL', key, 'away') == 1 then redis.call('HSET', 'titan:tidy', id, '-') end
redis.call('HSET', key, 'incarnation', ARGV[2], 'nonce', ARGV[7], 'url', ARGV[3], 'info', ARGV[4],
  'lease_until', lease_until)
redis.call('ZADD', 'titan:pops', lease_until, id)
for _, other in ipairs(redis.call('ZRANGEBYSCORE', 'titan:pops', '-inf', str(now))) do
  if other ~= id and redis.call('HSETNX', 'titan:pop:' .. other, 'away', '1') == 1 then
    redis.call('HSET', 'titan:tidy', other, '-')
  end
end
for _, other in ipairs(redis.call('ZRANGEBYSCORE', 'titan:pops', '-inf', '(' .. str(now - num(ARGV[6])))) do
  redis.call('DEL', 'titan:pop:' .. other)
  redis.call('ZREM', 'titan:pops', other)
  redis.call('HSET', 'titan:tidy', other, '-')
end
return redis.call('HLEN', 'titan:tidy')
