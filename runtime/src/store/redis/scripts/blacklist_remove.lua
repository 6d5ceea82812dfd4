-- ARGV: for each subject kind, subject, change. Returns how many were listed.
local removed = 0
for i = 1, #ARGV, 3 do
  local key, subject = 'titan:blacklist:' .. ARGV[i], ARGV[i + 1]
  if redis.call('HDEL', key, subject) == 1 then
    redis.call('ZREM', key .. ':names', subject)
    tell(ARGV[i + 2])
    removed = removed + 1
  end
end
return removed
