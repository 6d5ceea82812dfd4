-- What the scripts share. Numbers are below 2^53, where Lua counts exactly.
local function num(text) return tonumber(text or 0) or 0 end
local function str(number) return string.format('%.0f', number) end
local COUNT_MAX = 9007199254740991

-- The time by which leases hold, in Unix seconds: the server's, whatever the clocks of the daemons say.
local function time() return num(redis.call('TIME')[1]) end

-- Tells the readers of changes.
local function tell(body)
  local id = redis.call('INCR', 'titan:change:last')
  redis.call('XADD', 'titan:change:log', 'MAXLEN', '=', '4096', str(id) .. '-0', 'change', body)
end

local function user_key(name) return 'titan:user:' .. name end

-- Names of keys that a node's id would otherwise collide with, today's and the predecessor's.
local RESERVED = { online = 1, free = 1, zset = 1, bind = 1, blacklist = 1 }
local function node_key(id)
  local name = string.gsub(id, '%%', '%%25')
  if RESERVED[id] then
    name = string.format('%%%02X', string.byte(id)) .. string.sub(id, 2)
  end
  return 'titan:node:' .. name
end

-- POPs, each read once per script.
local pops = {}
local function pop_record(id)
  if pops[id] == nil then
    local found = redis.call('HMGET', 'titan:pop:' .. id,
      'incarnation', 'lease_until', 'away', 'nonce', 'draining', 'retiring', 'retiring_until')
    pops[id] = found[1] and {
      incarnation = num(found[1]), lease_until = num(found[2]), away = found[3], nonce = found[4],
      draining = found[5], retiring = found[6] and num(found[6]), retiring_until = num(found[7]),
      -- Of the incarnations whose nodes count.
      oldest = num(found[6] or found[1]),
    }
  end
  return pops[id]
end

-- Whether an incarnation of a POP is registered, or retiring beside the registered one.
local function is_known(record, incarnation)
  return record and (record.incarnation == incarnation or record.retiring == incarnation)
end

-- Whether its lease holds.
local function holds(record, incarnation, at)
  if not record then return false end
  if record.incarnation == incarnation then return record.lease_until > at end
  return record.retiring == incarnation and record.retiring_until > at
end

-- The fields of a hash as a table.
local function fields(key)
  local flat = redis.call('HGETALL', key)
  local all = {}
  for i = 1, #flat, 2 do all[flat[i]] = flat[i + 1] end
  return all
end

-- Of the POPs that have a node, the one it came to last, among those that `lives` accepts.
local function listed(all, lives)
  local best, best_since, any
  for field, generation in pairs(all) do
    if string.sub(field, 1, 2) == 'g@' then
      any = true
      local pop = string.sub(field, 3)
      local record = pop_record(pop)
      if record and num(generation) >= record.oldest and lives(record) then
        local since = num(all['s@' .. pop])
        if not best or since > best_since or (since == best_since and pop > best) then
          best, best_since = pop, since
        end
      end
    end
  end
  return best, any
end

-- Brings the sets that list a node, and what its hash says to people, up to its entries.
local function refresh(id)
  local key = node_key(id)
  local all = fields(key)
  local best, any = listed(all, function(record) return not record.away end)
  if best then
    local entry = cjson.decode(all['e@' .. best])
    redis.call('SADD', 'titan:node:online', id)
    redis.call('ZADD', 'titan:node:free', all['s@' .. best], id)
    redis.call('HSET', key, 'pop', best, 'ip', entry.ip, 'os', entry.os, 'version', entry.version,
      'login_at', all['s@' .. best], 'net_delay', all['d@' .. best] or '')
  else
    redis.call('SREM', 'titan:node:online', id)
    redis.call('ZREM', 'titan:node:free', id)
  end
  if not any then
    redis.call('ZREM', 'titan:node:zset', id)
    redis.call('EXPIRE', key, '2592000')
  end
end


-- The entry of a node at a POP, as listings return it.
local function entry_of(id, all, pop)
  return { id, pop, all['g@' .. pop], all['s@' .. pop], all['e@' .. pop], all['d@' .. pop] or '' }
end
