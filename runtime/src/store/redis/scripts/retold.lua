-- ARGV: pop, incarnation, the run that everything was told to.
if redis.call('HGET', 'titan:run', 'id') ~= ARGV[3] then return 0 end
redis.call('HDEL', 'titan:untold', ARGV[2] .. '@' .. ARGV[1])
return 1
