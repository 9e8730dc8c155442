-- mixed: members of a consumer group that speak the classic protocol, or are about to.
local function speaks_classic(member) return redis.call('HEXISTS', GROUP, 'c:' .. member) == 1 end

local function set_supported(member, supported)
  local new = redis.call('HSET', GROUP, 'c:' .. member, supported)
  if new == 1 then redis.call('HINCRBY', GROUP, 'classics', '1') end
end

local function mark_alive(member, session, rebalance)
  redis.call('ZADD', DEADLINES, text(now + tonumber(session)), 's:' .. member)
  redis.call('HSET', GROUP, 't:' .. member, session .. '|' .. rebalance)
  for field, span in pairs({session = session, rebalance = rebalance}) do
    if tonumber(span) > tonumber(redis.call('HGET', GROUP, field)) then
      redis.call('HSET', GROUP, field, span)
    end
  end
end

-- Whether a consumer group has members, none of which speaks its protocol: whoever asks looks closer.
local function only_classics()
  local classics = tonumber(redis.call('HGET', GROUP, 'classics') or '0')
  return classics > 0 and classics >= members() and 1 or 0
end

-- The refusal of a member whose instance is somebody else's by now, or nobody's; nil: it is its own.
local function replaced_by_another(member, instance)
  if instance == '' then return nil end
  local holder = redis.call('HGET', GROUP, 'i:' .. instance)
  if not holder then return refuse(25, 'there is no instance ' .. instance .. ' in the group') end
  if holder ~= member then
    return refuse(82, 'instance ' .. instance .. ' is now member ' .. holder)
  end
end
