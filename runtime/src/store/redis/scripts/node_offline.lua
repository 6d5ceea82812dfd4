-- ARGV: id, pop, generation.
local id, pop = ARGV[1], ARGV[2]
local key, record = node_key(id), pop_record(pop)
local old = redis.call('HGET', key, 'g@' .. pop)
if not old or num(old) > num(ARGV[3]) then return 0 end
redis.call('HDEL', key, 'g@' .. pop, 'e@' .. pop, 's@' .. pop, 'd@' .. pop)
redis.call('ZREM', 'titan:popnodes:' .. pop, id)
if record and num(old) >= record.incarnation then
  redis.call('HINCRBY', 'titan:pop:' .. pop, 'node_count', -1)
end
refresh(id)
return 1
