-- ARGV: id. Returns home, home_at, home_ip, perhaps the entry, and the time.
local all = fields(node_key(ARGV[1]))
if not all.home then return {} end
local now = time()
local best = listed(all, function(record) return record.lease_until > now end)
return { all.home, all.home_at, all.home_ip or '', best and entry_of(ARGV[1], all, best) or {},
  str(now) }
