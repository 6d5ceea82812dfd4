-- ARGV: id of a POP.
return redis.call('HGET', 'titan:pop:' .. ARGV[1], 'incarnation')
