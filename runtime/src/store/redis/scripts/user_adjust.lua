-- ARGV: name, change, id, 'add' or 'reset', bytes, how many ids to remember.
local name = ARGV[1]
local key, done = user_key(name), 'titan:adjusted:' .. name
if redis.call('EXISTS', key) == 0 then return {} end
if redis.call('ZSCORE', done, ARGV[3]) then return redis.call('HGETALL', key) end
local last = redis.call('ZRANGE', done, -1, -1, 'WITHSCORES')
redis.call('ZADD', done, str(num(last[2]) + 1), ARGV[3])
redis.call('ZREMRANGEBYRANK', done, 0, -(num(ARGV[6]) + 1))
if ARGV[4] == 'add' then
  local limit = redis.call('HGET', key, 'total_traffic')
  if limit then
    limit = math.min(math.max(num(limit) + num(ARGV[5]), 0), COUNT_MAX)
    redis.call('HSET', key, 'total_traffic', str(limit))
  end
else
  local account, charged = 'titan:usage:' .. name, 0
  for field, text in pairs(fields(account)) do
    local incarnation, pop = holder_of(field)
    if incarnation then
      local part = read_part(text)
      -- A process that may live keeps its unspent rest, so that stays charged.
      local lives = is_known(pop_record(pop), incarnation)
      local forgiven = lives and part[4] + part[5] or part[1] - part[2]
      part[3] = math.max(part[3], forgiven)
      charged = charged + charge(part)
      redis.call('HSET', account, field, write_part(part))
    end
  end
  redis.call('HSET', key, 'current_traffic', str(charged), 'uploaded', '0', 'downloaded', '0')
end
tell(ARGV[2])
return redis.call('HGETALL', key)
