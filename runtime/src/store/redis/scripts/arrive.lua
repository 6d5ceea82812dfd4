-- ARGV: the server's process, and a name for a run of it. Begins a new run if the process is another one
-- than what is here was last written by: a server that was started anew, or a replica that took over, may
-- have forgotten the last moments. Until the POPs that are registered have told everything again nothing
-- is granted.
if redis.call('HGET', 'titan:run', 'process') == ARGV[1] then return 0 end
redis.call('DEL', 'titan:run', 'titan:untold')
redis.call('HSET', 'titan:run', 'process', ARGV[1], 'id', ARGV[2])
for _, id in ipairs(redis.call('ZRANGE', 'titan:pops', 0, -1)) do
  local incarnation = redis.call('HGET', 'titan:pop:' .. id, 'incarnation')
  if incarnation then redis.call('HSET', 'titan:untold', id, incarnation) end
end
return 1
