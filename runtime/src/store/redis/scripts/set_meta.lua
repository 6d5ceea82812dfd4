-- ARGV: key, value.
return redis.call('HSET', 'titan:meta', ARGV[1], ARGV[2])
