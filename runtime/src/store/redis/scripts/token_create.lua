-- ARGV: id, hash, change, then fields and values.
local key = 'titan:token:' .. ARGV[1]
if redis.call('EXISTS', key) == 1 or redis.call('HEXISTS', 'titan:token_hashes', ARGV[2]) == 1 then
  return redis.error_reply('EXISTS the token is taken')
end
redis.call('HSET', key, 'id', ARGV[1], 'hash', ARGV[2], unpack(ARGV, 4))
redis.call('HSET', 'titan:token_hashes', ARGV[2], ARGV[1])
redis.call('ZADD', 'titan:tokens', 0, ARGV[1])
tell(ARGV[3])
return 1
