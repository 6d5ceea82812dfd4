-- ARGV: name, change, whether the password is new, then fields and values; an empty value removes.
local key = user_key(ARGV[1])
if redis.call('EXISTS', key) == 0 then return {} end
if ARGV[3] == '1' then
  redis.call('HSET', key, 'credential_version', str(redis.call('INCR', 'titan:serial')))
end
for i = 4, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', key, ARGV[i])
  else
    redis.call('HSET', key, ARGV[i], ARGV[i + 1])
  end
end
tell(ARGV[2])
return redis.call('HGETALL', key)
