-- ARGV: id, pop, generation, online_since, entry, rtt or empty, ip.
local id, pop, generation = ARGV[1], ARGV[2], num(ARGV[3])
local key, record = node_key(id), pop_record(pop)
if not record or generation < record.oldest then
  return redis.error_reply('SUPERSEDED the POP is not registered')
end
local old = redis.call('HGET', key, 'g@' .. pop)
if old and num(old) > generation then return 0 end
redis.call('HSET', key, 'g@' .. pop, ARGV[3], 's@' .. pop, ARGV[4], 'e@' .. pop, ARGV[5])
if ARGV[6] == '' then
  redis.call('HDEL', key, 'd@' .. pop)
else
  redis.call('HSET', key, 'd@' .. pop, ARGV[6])
end
-- What counts is how many nodes the present incarnation has.
if generation >= record.incarnation and (not old or num(old) < record.incarnation) then
  redis.call('HINCRBY', 'titan:pop:' .. pop, 'node_count', 1)
end
redis.call('ZADD', 'titan:popnodes:' .. pop, 0, id)
redis.call('ZADD', 'titan:node:zset', 0, id)
redis.call('PERSIST', key)
-- It attached just now; what is only told again leaves its home alone.
if not old or num(old) < generation then
  redis.call('HSET', key, 'home', pop, 'home_at', ARGV[4], 'home_ip', ARGV[7])
end
refresh(id)
return 1
