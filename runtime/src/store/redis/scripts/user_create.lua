-- ARGV: name, change, then fields and values.
local key = user_key(ARGV[1])
if redis.call('EXISTS', key) == 1 then return redis.error_reply('EXISTS the name is taken') end
local serial = str(redis.call('INCR', 'titan:serial'))
redis.call('HSET', key, 'id', serial, 'credential_version', serial,
  'current_traffic', '0', 'uploaded', '0', 'downloaded', '0', unpack(ARGV, 3))
redis.call('ZADD', 'titan:users', 0, ARGV[1])
tell(ARGV[2])
return redis.call('HGETALL', key)
