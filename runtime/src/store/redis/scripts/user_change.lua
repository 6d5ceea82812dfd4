-- ARGV: name, change, whether the password is new, then fields and values; an empty value removes.
local key = user_key(ARGV[1])
if redis.call('EXISTS', key) == 0 then return {} end
-- The window must end after it starts, also if somebody else moved the other end meanwhile.
local window, moved = redis.call('HMGET', key, 'start_time', 'end_time'), false
local place = { start_time = 1, end_time = 2 }
for i = 4, #ARGV, 2 do
  local end_of = place[ARGV[i]]
  if end_of then window[end_of], moved = ARGV[i + 1], true end
end
local starts, ends = tonumber(window[1] or ''), tonumber(window[2] or '')
if moved and starts and ends and starts >= ends then
  return redis.error_reply('WINDOW the start must be before the end')
end
if ARGV[3] == '1' then
  redis.call('HSET', key, 'credential_version', str(redis.call('INCR', 'titan:serial')))
end
for i = 4, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', key, ARGV[i])
  else
    redis.call('HSET', key, ARGV[i], ARGV[i + 1])
  end
end
tell(ARGV[2])
return redis.call('HGETALL', key)
