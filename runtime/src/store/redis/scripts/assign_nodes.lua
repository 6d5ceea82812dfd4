-- ARGV: pop, now, then ids.
for i = 3, #ARGV do
  local key = node_key(ARGV[i])
  redis.call('HSET', key, 'home', ARGV[1], 'home_at', ARGV[2])
  if not redis.call('ZSCORE', 'titan:node:zset', ARGV[i]) then
    redis.call('EXPIRE', key, '2592000')
  end
end
return 1
