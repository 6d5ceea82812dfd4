-- ARGV: pop, incarnation, when the journal was written that it is read from or empty, whether it is a lease,
-- how many incarnations to keep, then for each user name, id, want, granted, returned, uploaded, downloaded,
-- sessions, wanted rates up and down.

-- How long a POP that lives and tells nothing keeps a new run from granting, in seconds.
local UNTOLD_MAX = 90
local pop, incarnation, now = ARGV[1], num(ARGV[2]), time()
local is_journal = ARGV[3] ~= ''
local at = is_journal and math.min(num(ARGV[3]), now) or now
local field = str(incarnation) .. '@' .. pop
if ARGV[4] == '1' then
  local record = pop_record(pop)
  if record and record.incarnation > incarnation and record.retiring ~= incarnation then
    return redis.error_reply('SUPERSEDED a newer process took over')
  end
  -- A run that is new may have forgotten grants: it makes none before all who live have told theirs.
  local untold = fields('titan:untold')
  if next(untold) then
    redis.call('HSETNX', 'titan:run', 'since', str(now))
    local is_long = now >= num(redis.call('HGET', 'titan:run', 'since')) + UNTOLD_MAX
    for other, _ in pairs(untold) do
      local of, at_pop = holder_of(other)
      if holds(pop_record(at_pop), of, now) and not is_long then
        return redis.error_reply('UNTOLD the server is new, and POP ' .. at_pop .. ' has not told yet what it granted')
      end
      redis.call('HDEL', 'titan:untold', other)
    end
  end
end

-- Width and number of the buckets of each curve.
local CURVES = { { '5min', 300, 288 }, { 'hour', 3600, 168 }, { 'day', 86400, 366 } }
local function add_traffic(name, uploaded, downloaded)
  for _, curve in ipairs(CURVES) do
    local key, width, kept = 'titan:traffic' .. curve[1] .. ':' .. name, curve[2], curve[3]
    local start = at - at % width
    local old = redis.call('HGET', key, str(start))
    local up, down = string.match(old or '0 0', '^(%d+) (%d+)$')
    redis.call('HSET', key, str(start), str(num(up) + uploaded) .. ' ' .. str(num(down) + downloaded))
    if not old then
      local starts, newest = redis.call('HKEYS', key), start
      for _, other in ipairs(starts) do newest = math.max(newest, num(other)) end
      for _, other in ipairs(starts) do
        if num(other) <= newest - kept * width then redis.call('HDEL', key, other) end
      end
    end
    redis.call('EXPIRE', key, str((kept + 1) * width))
  end
end

-- Forgets which part old processes of this POP have in an account and in its rate; the sums stay.
local function fold(name, account, all)
  local known = {}
  for other, _ in pairs(all) do
    local of, at_pop = holder_of(other)
    if of and at_pop == pop then known[#known + 1] = of end
  end
  table.sort(known, function(one, two) return one > two end)
  for i = num(ARGV[5]) + 1, #known do
    redis.call('HDEL', account, str(known[i]) .. '@' .. pop)
    redis.call('HDEL', 'titan:shares:' .. name, str(known[i]) .. '@' .. pop)
    local folded = math.max(num(all['folded@' .. pop]), known[i])
    all['folded@' .. pop] = folded
    redis.call('HSET', account, 'folded@' .. pop, str(folded))
  end
end

local function settle(name, id, want, totals)
  local key, account = user_key(name), 'titan:usage:' .. name
  local user = redis.call('HMGET', key, 'id', 'total_traffic', 'current_traffic',
    'upload_rate_limit', 'download_rate_limit')
  if user[1] ~= id then return false end
  local limit, charged, rates = user[2], num(user[3]), { num(user[4]), num(user[5]) }
  local all = fields(account)
  local sessions_elsewhere, held_elsewhere, here_too = 0, 0, {}
  for other, text in pairs(all) do
    local of, at_pop = holder_of(other)
    if of and other ~= field then
      if holds(pop_record(at_pop), of, now) then
        local part = read_part(text)
        sessions_elsewhere = sessions_elsewhere + part[6]
        if part[6] > 0 then here_too[other] = part[7] end
        held_elsewhere = held_elsewhere + math.max(part[1] - part[2] - part[4] - part[5], 0)
      end
    end
  end
  if all['folded@' .. pop] and num(all['folded@' .. pop]) >= incarnation then
    return { str(totals[1]), str(charged), limit or '', str(sessions_elsewhere), str(held_elsewhere),
      str(rates[1]), str(rates[2]) }
  end

  -- Each total is the larger of the two; what was spent is charged, whatever was granted.
  local part = read_part(all[field])
  local before, up, down = charge(part), part[4], part[5]
  part[2] = math.max(part[2], totals[2])
  part[4] = math.max(part[4], totals[3])
  part[5] = math.max(part[5], totals[4])
  part[1] = math.max(part[1], totals[1], part[2] + part[4] + part[5])
  if not is_journal then part[6] = totals[5] end
  part[7] = math.max(part[7], at)
  charged = math.max(charged + charge(part) - before, 0)
  local room = math.max((limit and num(limit) or COUNT_MAX) - charged, 0)
  local more = math.min(math.max(want - part[1], 0), room)
  part[1] = part[1] + more
  charged = charged + more

  redis.call('HSET', account, field, write_part(part))
  up, down = part[4] - up, part[5] - down
  redis.call('HSET', key, 'current_traffic', str(charged))
  if up > 0 or down > 0 then
    redis.call('HINCRBY', key, 'uploaded', str(up))
    redis.call('HINCRBY', key, 'downloaded', str(down))
    add_traffic(name, up, down)
  end
  if not all[field] then
    all[field] = ''
    fold(name, account, all)
  end
  local is_here = not is_journal and part[6] > 0
  local share = share_rates(name, field, rates, is_here, { totals[6], totals[7] }, here_too, now)
  return { str(part[1]), str(charged), limit or '', str(sessions_elsewhere), str(held_elsewhere),
    str(share[1]), str(share[2]) }
end

local answers = {}
for i = 6, #ARGV, 10 do
  local totals = {}
  for nth = 1, 7 do totals[nth] = num(ARGV[i + 2 + nth]) end
  answers[#answers + 1] = settle(ARGV[i], ARGV[i + 1], num(ARGV[i + 2]), totals) or {}
end
return answers
