-- ARGV: node, the prefixes around its address, the longest first. Returns the node's entry or nil, and the
-- first prefix that has an entry with that, or nothing.
local entries = redis.call('HMGET', 'titan:blacklist:ip', unpack(ARGV, 2))
local found = {}
for index, entry in ipairs(entries) do
  if entry then
    found = { ARGV[index + 1], entry }
    break
  end
end
return { redis.call('HGET', 'titan:blacklist:node', ARGV[1]), found }
