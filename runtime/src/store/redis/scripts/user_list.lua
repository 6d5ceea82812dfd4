-- ARGV: where to begin, how many.
local names = redis.call('ZRANGEBYLEX', 'titan:users', ARGV[1], '+', 'LIMIT', 0, ARGV[2])
local all = {}
for i, name in ipairs(names) do all[i] = redis.call('HGETALL', user_key(name)) end
return all
