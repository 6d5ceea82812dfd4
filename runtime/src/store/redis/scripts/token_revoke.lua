-- ARGV: id, at, change.
local key = 'titan:token:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then return {} end
if redis.call('HSETNX', key, 'revoked_at', ARGV[2]) == 1 then tell(ARGV[3]) end
return redis.call('HGETALL', key)
