-- ARGV: where to begin, how many, pop. Returns as nodes.lua does.
local SCAN = 2000
local limit, now, pop = num(ARGV[2]), time(), ARGV[3]
local record = pop_record(pop)
local found = { '' }
if not record or record.lease_until <= now then return found end
local begin, last, seen = ARGV[1], '', 0
while seen < SCAN do
  local ids = redis.call('ZRANGEBYLEX', 'titan:popnodes:' .. pop, begin, '+', 'LIMIT', 0, limit + 1)
  for _, id in ipairs(ids) do
    local all = fields(node_key(id))
    local best = num(all['g@' .. pop]) >= record.oldest and pop
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
