-- ARGV: key.
return redis.call('HGET', 'titan:meta', ARGV[1])
