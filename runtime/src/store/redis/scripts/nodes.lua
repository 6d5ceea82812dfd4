-- ARGV: where to begin, how many. Returns the last id looked at if there may be more, then the
-- entries. It looks at a bounded number, whatever they are.
local SCAN = 2000
local limit, now = num(ARGV[2]), time()
local found = { '' }
local begin, last, seen = ARGV[1], '', 0
while seen < SCAN do
  local ids = redis.call('ZRANGEBYLEX', 'titan:node:zset', begin, '+', 'LIMIT', 0, limit + 1)
  for _, id in ipairs(ids) do
    local all = fields(node_key(id))
    local best = listed(all, function(record) return record.lease_until > now end)
    if best then
      if #found > limit then
        found[1] = last
        return found
      end
      found[#found + 1] = entry_of(id, all, best)
    end
    last = id
  end
  if #ids <= limit then return found end
  seen, begin = seen + #ids, '(' .. last
end
found[1] = last
return found
