-- ARGV: the server's process, and a name for a run of it. Begins a new run if the process is another one
-- than what is here was last written by: a server that was started anew, or a replica that took over, may
-- have forgotten the last moments. Until the POPs that lived then have told everything again, or their
-- leases have run out by this server's clock, nothing is granted.
if redis.call('HGET', 'titan:run', 'process') == ARGV[1] then return 0 end
local now, last = time(), num(redis.call('HGET', 'titan:run', 'heard'))
redis.call('DEL', 'titan:run', 'titan:untold')
redis.call('HSET', 'titan:run', 'process', ARGV[1], 'id', ARGV[2], 'heard', str(now))
for _, holder in ipairs(rebase(last > 0 and last or now, now)) do
  redis.call('HSET', 'titan:untold', holder, '1')
end
return 1
