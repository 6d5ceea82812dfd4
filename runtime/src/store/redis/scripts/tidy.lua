-- Brings some of the nodes of a POP that died, left, came back or was replaced up to date. A step is
-- small, because a script holds everybody up. Returns how many POPs are left to tidy.
local STEP = 250
local id = redis.call('HKEYS', 'titan:tidy')[1]
if not id then return 0 end
local nodes = 'titan:popnodes:' .. id
local begin = redis.call('HGET', 'titan:tidy', id)
local some = redis.call('ZRANGEBYLEX', nodes, begin, '+', 'LIMIT', 0, STEP)
local record = pop_record(id)
for _, node in ipairs(some) do
  local key = node_key(node)
  local generation = redis.call('HGET', key, 'g@' .. id)
  if not generation or not record or num(generation) < record.oldest then
    redis.call('HDEL', key, 'g@' .. id, 'e@' .. id, 's@' .. id, 'd@' .. id)
    redis.call('ZREM', nodes, node)
  end
  refresh(node)
end
if #some < STEP then
  redis.call('HDEL', 'titan:tidy', id)
else
  redis.call('HSET', 'titan:tidy', id, '(' .. some[STEP])
end
return redis.call('HLEN', 'titan:tidy')
