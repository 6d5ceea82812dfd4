-- ARGV: after which, how many.
return redis.call('XRANGE', 'titan:audit', '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
