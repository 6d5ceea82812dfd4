-- ARGV: pop, incarnation, the run that everything was told to.
if redis.call('HGET', 'titan:run', 'id') ~= ARGV[3] then return 0 end
if redis.call('HGET', 'titan:untold', ARGV[1]) == ARGV[2] then redis.call('HDEL', 'titan:untold', ARGV[1]) end
return 1
