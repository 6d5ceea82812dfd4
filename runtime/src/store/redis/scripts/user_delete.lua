-- ARGV: name, change.
local name = ARGV[1]
if redis.call('DEL', user_key(name)) == 0 then return 0 end
redis.call('DEL', 'titan:usage:' .. name, 'titan:shares:' .. name, 'titan:adjusted:' .. name,
  'titan:traffic5min:' .. name, 'titan:traffichour:' .. name, 'titan:trafficday:' .. name)
redis.call('ZREM', 'titan:users', name)
tell(ARGV[2])
return 1
