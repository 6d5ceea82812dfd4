-- ARGV: pop, then ids.
local now = str(time())
for i = 2, #ARGV do
  local key = node_key(ARGV[i])
  redis.call('HSET', key, 'home', ARGV[1], 'home_at', now)
  if not redis.call('ZSCORE', 'titan:node:zset', ARGV[i]) then
    redis.call('EXPIRE', key, '2592000')
  end
end
return 1
