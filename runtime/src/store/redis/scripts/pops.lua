-- The POPs whose lease holds.
local all = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'titan:pops', '(' .. str(time()), '+inf')) do
  local found = redis.call('HMGET', 'titan:pop:' .. id,
    'incarnation', 'url', 'info', 'node_count', 'lease_until', 'draining', 'nonce')
  all[#all + 1] = { id, found[1], found[2], found[3], found[4], found[5], found[6] or '', found[7] or '' }
end
return all
