-- ARGV: where to begin, how many, now. Returns the last id looked at if there may be more, then the
-- entries. It looks at a bounded number, whatever they are.
local SCAN = 2000
local limit, now = num(ARGV[2]), num(ARGV[3])
local ids = redis.call('ZRANGEBYLEX', 'titan:node:zset', ARGV[1], '+', 'LIMIT', 0, SCAN)
local found = { '' }
for i, id in ipairs(ids) do
  local all = fields(node_key(id))
  local best = listed(all, function(record) return record.lease_until > now end)
  if best then
    if #found > limit then
      found[1] = ids[i - 1]
      return found
    end
    found[#found + 1] = entry_of(id, all, best)
  end
end
if #ids == SCAN then found[1] = ids[SCAN] end
return found
