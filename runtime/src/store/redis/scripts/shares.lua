-- How POPs divide the rate of a user, as `titan_core::account::divide` says it.
local IDLE_PART, NEWCOMER_PART = 16, 4
local function divide(rate, wants, others)
  if rate == 0 then return 0 end
  local count, held = #others + 1, 0
  local idle = math.floor(rate / (IDLE_PART * count))
  local function within(wanted) return math.min(math.max(wanted, idle), rate) end
  local own, all = within(wants), {}
  for i, other in ipairs(others) do
    all[i] = within(other.wants)
    held = held + math.min(other.has, rate)
  end
  all[count] = own
  table.sort(all)
  local left, target = rate, nil
  for i, wanted in ipairs(all) do
    local given = math.min(wanted, math.floor(left / (count - i + 1)))
    left = left - given
    if wanted == own and not target then target = given end
  end
  target = target + math.floor(left / count)
  local beyond = math.max(math.floor(rate / NEWCOMER_PART) - math.max(held - rate, 0), 0)
  local least = math.min(math.floor(rate / (NEWCOMER_PART * count)), math.floor(beyond / 2))
  return math.max(math.min(target, math.max(rate - held, least)), 1)
end

-- A POP that believes a user to be nowhere else and moves something says so within this, in seconds.
local SILENT_AFTER = 5

-- Divides the rates of a user between the holder `field` and the others that live and have sessions of
-- it: `others` says when each told last. Returns how fast the user may be at the holder, up and down.
local function share_rates(name, field, rates, is_here, wants, others, at)
  if rates[1] == 0 and rates[2] == 0 then return rates end
  local key = 'titan:shares:' .. name
  if not next(others) then
    redis.call('DEL', key)
    return rates
  end
  if not is_here then
    redis.call('HDEL', key, field)
    return rates
  end
  local known, share = fields(key), {}
  for way = 1, 2 do
    local stakes = {}
    for other, told_at in pairs(others) do
      local stake = {}
      for number in string.gmatch(known[other] or '', '%d+') do stake[#stake + 1] = num(number) end
      -- One that is not known to share anything has everything, or is idle.
      local unknown = math.abs(at - told_at) <= SILENT_AFTER and COUNT_MAX or 0
      stakes[#stakes + 1] = { wants = stake[way] or unknown, has = stake[way + 2] or unknown }
    end
    share[way] = divide(rates[way], wants[way], stakes)
  end
  redis.call('HSET', key, field, table.concat({ str(wants[1]), str(wants[2]), str(share[1]), str(share[2]) }, ' '))
  redis.call('EXPIRE', key, '60')
  return share
end
