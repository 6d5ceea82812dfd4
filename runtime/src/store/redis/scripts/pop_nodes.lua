-- ARGV: where to begin, how many, now, pop. Returns as nodes.lua does.
local SCAN = 2000
local limit, now, pop = num(ARGV[2]), num(ARGV[3]), ARGV[4]
local record = pop_record(pop)
local found = { '' }
if not record or record.lease_until <= now then return found end
local ids = redis.call('ZRANGEBYLEX', 'titan:popnodes:' .. pop, ARGV[1], '+', 'LIMIT', 0, SCAN)
for i, id in ipairs(ids) do
  local all = fields(node_key(id))
  if num(all['g@' .. pop]) >= record.incarnation then
    if #found > limit then
      found[1] = ids[i - 1]
      return found
    end
    found[#found + 1] = entry_of(id, all, pop)
  end
end
if #ids == SCAN then found[1] = ids[SCAN] end
return found
