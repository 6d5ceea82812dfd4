-- ARGV: node, ip. Returns the entry of either or nil.
return { redis.call('HGET', 'titan:blacklist:node', ARGV[1]),
  redis.call('HGET', 'titan:blacklist:ip', ARGV[2]) }
