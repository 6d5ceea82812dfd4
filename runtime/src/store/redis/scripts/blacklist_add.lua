-- ARGV: for each entry kind, subject, since, reason, change.
for i = 1, #ARGV, 5 do
  local key, subject = 'titan:blacklist:' .. ARGV[i], ARGV[i + 1]
  if redis.call('HSETNX', key, subject, ARGV[i + 2] .. ' ' .. ARGV[i + 3]) == 1 then
    redis.call('ZADD', key .. ':names', 0, subject)
    tell(ARGV[i + 4])
  end
end
return 1
