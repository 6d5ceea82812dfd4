-- ARGV: name, the companion's prefix. The fields of one of a user's companions, or nil.
if redis.call('EXISTS', user_key(ARGV[1])) == 0 then return false end
return redis.call('HGETALL', ARGV[2] .. ARGV[1])
