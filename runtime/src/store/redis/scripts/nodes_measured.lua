-- ARGV: pop, then for each node id, generation, rtt.
local pop = ARGV[1]
for i = 2, #ARGV, 3 do
  local key = node_key(ARGV[i])
  local found = redis.call('HMGET', key, 'g@' .. pop, 'pop')
  if found[1] == ARGV[i + 1] then
    redis.call('HSET', key, 'd@' .. pop, ARGV[i + 2])
    if found[2] == pop then redis.call('HSET', key, 'net_delay', ARGV[i + 2]) end
  end
end
return 1
