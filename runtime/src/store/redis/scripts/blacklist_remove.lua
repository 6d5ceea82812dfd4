-- ARGV: for each subject kind, subject, change.
for i = 1, #ARGV, 3 do
  local key, subject = 'titan:blacklist:' .. ARGV[i], ARGV[i + 1]
  if redis.call('HDEL', key, subject) == 1 then
    redis.call('ZREM', key .. ':names', subject)
    tell(ARGV[i + 2])
  end
end
return 1
