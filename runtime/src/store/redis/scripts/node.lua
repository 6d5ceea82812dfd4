-- ARGV: id, now. Returns home, home_at, home_ip and perhaps the entry.
local all = fields(node_key(ARGV[1]))
if not all.home then return {} end
local now = num(ARGV[2])
local best = listed(all, function(record) return record.lease_until > now end)
return { all.home, all.home_at, all.home_ip or '', best and entry_of(ARGV[1], all, best) or {} }
