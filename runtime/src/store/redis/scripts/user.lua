-- ARGV: name.
return redis.call('HGETALL', user_key(ARGV[1]))
