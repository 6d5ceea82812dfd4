-- ARGV: after which or empty, of which run, how many, how many are kept. Returns the run, where it is now,
-- and the changes unless everything is to be read again; nothing if the server's memory was emptied.
local run = redis.call('HGET', 'titan:run', 'id')
if not run then return {} end
local last = num(redis.call('GET', 'titan:change:last'))
local after = tonumber(ARGV[1])
if not after or run ~= ARGV[2] or after > last or after < last - num(ARGV[4]) then
  return { run, str(last) }
end
local found = redis.call('XRANGE', 'titan:change:log', '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[3])
local bodies = {}
for i, entry in ipairs(found) do bodies[i] = entry[2][2] end
return { run, str(after + #bodies), bodies }
