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
