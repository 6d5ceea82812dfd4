-- ARGV: where to begin, how many.
local all = {}
for i, id in ipairs(redis.call('ZRANGEBYLEX', 'titan:tokens', ARGV[1], '+', 'LIMIT', 0, ARGV[2])) do
  all[i] = redis.call('HGETALL', 'titan:token:' .. id)
end
return all
