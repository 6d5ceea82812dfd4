-- ARGV: kind, where to begin, how many.
local key = 'titan:blacklist:' .. ARGV[1]
local all = {}
for i, subject in ipairs(redis.call('ZRANGEBYLEX', key .. ':names', ARGV[2], '+', 'LIMIT', 0, ARGV[3])) do
  all[i] = { subject, redis.call('HGET', key, subject) or '0 ' }
end
return all
