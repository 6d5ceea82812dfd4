-- Lets the leases of POPs go on by a clock that is not the one that they were given by. Whoever had some of it
-- left at `last`, when a POP was heard of last by that clock, has as much left at `now`; the others have
-- none. Returns the holders that have.
local function rebase(last, now)
  local living = {}
  for _, id in ipairs(redis.call('ZRANGE', 'titan:pops', 0, -1)) do
    local key, record = 'titan:pop:' .. id, pop_record(id)
    local function moved(lease_until, incarnation)
      if lease_until <= last then return math.min(lease_until, now) end
      living[#living + 1] = str(incarnation) .. '@' .. id
      return now + lease_until - last
    end
    if record then
      record.lease_until = moved(record.lease_until, record.incarnation)
      redis.call('HSET', key, 'lease_until', str(record.lease_until))
      redis.call('ZADD', 'titan:pops', str(record.lease_until), id)
    end
    if record and record.retiring then
      record.retiring_until = moved(record.retiring_until, record.retiring)
      redis.call('HSET', key, 'retiring_until', str(record.retiring_until))
    end
  end
  return living
end
