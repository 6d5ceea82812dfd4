-- ARGV: after which or empty, how many, how many are kept.
local last = num(redis.call('GET', 'titan:change:last'))
local after = tonumber(ARGV[1])
if not after or after > last or after < last - num(ARGV[3]) then return { str(last) } end
local found = redis.call('XRANGE', 'titan:change:log', '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
local bodies = {}
for i, entry in ipairs(found) do bodies[i] = entry[2][2] end
return { str(after + #bodies), bodies }
