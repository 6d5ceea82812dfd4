-- ARGV: hash.
local id = redis.call('HGET', 'titan:token_hashes', ARGV[1])
if not id then return {} end
return redis.call('HGETALL', 'titan:token:' .. id)
