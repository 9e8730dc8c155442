-- group: what the scripts of a group share. They all declare the same keys, in the same order:
--
-- KEYS[1]  group          hash  type, epochs, claim; i:<instance> -> member, m:<member> -> instance,
--                               t:<member> -> its session|its rebalance time, ms; of members that
--                               speak the classic protocol c:<member> -> what they support, and
--                               how many they are: classics. Also configs: what is set for the
--                               group, session|heartbeat interval|assignment interval, ms, each
--                               empty if it is not. That is there before the group, and stays
-- KEYS[2]  subscriptions  hash  member -> two lines of JSON: what an assignment needs, the rest
-- KEYS[3]  current        hash  member -> epoch|previous|seq|incarnation|state|assigned|revoking
-- KEYS[4]  target         hash  member -> the partitions it is to own
-- KEYS[5]  owner          hash  partition -> member
-- KEYS[6]  want           hash  partition -> a member that waits for it
-- KEYS[7]  deadlines      zset  s:<member> -> end of its session, r:<member> -> end of the time
--                               that it has to let go of partitions; ms. Of a classic group also
--                               p:<id given out>, j: (the join phase), y: (the sync phase)
-- KEYS[8]  offsets        hash  partition -> offset|leader epoch|time|stamp|metadata
--
-- In a classic group `subscriptions` holds the protocols of each member, `current` its row, `target`
-- its assignment (all as partstream.groups.classic encodes them); `owner` and `want` are empty.
--
-- ARGV[1]  bells          followed by a member id: its shard channel
--
-- Each key holds a row named '' from the start, so that it exists: while a slot moves to another
-- node, a script with one key that does not exist is turned away.
local GROUP, SUBSCRIPTIONS, CURRENT, TARGET = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local OWNER, WANT, DEADLINES, OFFSETS = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local BELLS = ARGV[1]
local now = now_ms()
local rung = {}

local function text(number) return string.format('%.0f', number) end

local function refuse(code, why) return redis.error_reply('KAFKA ' .. code .. ' ' .. why) end

local function ring(member)
  if rung[member] then return end
  rung[member] = true
  redis.pcall('SPUBLISH', BELLS .. member, '')
end

-- Partitions are `TOPIC:0,1,2;OTHER:5`.
local function each(partitions, visit)
  for topic, numbers in string.gmatch(partitions, '([^:;]+):([^;]*)') do
    for number in string.gmatch(numbers, '[^,]+') do visit(topic .. ':' .. number) end
  end
end

local function parse(row)
  return string.match(row,
    '^(%-?%d+)|(%-?%d+)|(%d+)|(%d+)|(%a)|([^|]*)|([^|]*)$')
end

-- The row of a member of a consumer group: those of classic groups read otherwise (lua/classic).
local function applied(member)
  local row = redis.call('HGET', CURRENT, member)
  return row and parse(row) and row
end

-- Its key may be there without it, for its configs.
local function exists() return redis.call('HEXISTS', GROUP, 'type') == 1 end

-- What is set for the group: its session, heartbeat interval and assignment interval, each nil if
-- it is not.
local function configured()
  local session, interval, between = string.match(
    redis.call('HGET', GROUP, 'configs') or '', '^(%d*)|(%d*)|(%d*)')
  return tonumber(session), tonumber(interval), tonumber(between)
end

local function is_classic() return redis.call('HGET', GROUP, 'type') == 'classic' end

local function write_row(member, epoch, previous, incarnation, state, assigned, revoking)
  local seq = text(redis.call('HINCRBY', GROUP, 'seq', '1'))
  redis.call('HSET', CURRENT, member, table.concat(
    {epoch, previous, seq, incarnation, state, assigned, revoking}, '|'))
end

local function members() return redis.call('HLEN', CURRENT) - 1 end

local function raise_epoch()
  redis.call('HINCRBY', GROUP, 'epoch', '1')
  redis.call('HSETNX', GROUP, 'dirty_since', text(now))
end

local function make_keys()
  for i = 1, 8 do
    if i == 7 then redis.call('ZADD', KEYS[i], '+inf', '') else redis.call('HSET', KEYS[i], '', '') end
  end
end

local function create(kind, id)
  make_keys()
  redis.call('HSET', GROUP, 'type', kind, 'id', id, 'epoch', '1', 'target_epoch', '1',
    'seq', '0', 'session', '0', 'rebalance', '0', 'empty_since', text(now),
    'token', (replication()))
end

-- The hint in `want` stays: who waits may have to hear of it again.
local function release(partition)
  redis.call('HDEL', OWNER, partition)
  local waiting = redis.call('HGET', WANT, partition)
  if waiting then ring(waiting) end
end

local function forget_supported(member)
  local gone = redis.call('HDEL', GROUP, 'c:' .. member)
  if gone == 1 then redis.call('HINCRBY', GROUP, 'classics', '-1') end
end

local function remove(member)
  local row = redis.call('HGET', CURRENT, member)
  redis.call('ZREM', DEADLINES, 's:' .. member, 'r:' .. member)
  if not row then return false end
  local _, _, _, _, _, assigned, revoking = parse(row)
  redis.call('HDEL', GROUP, 't:' .. member)
  redis.call('HDEL', CURRENT, member)
  redis.call('HDEL', TARGET, member)
  redis.call('HDEL', SUBSCRIPTIONS, member)
  local instance = redis.call('HGET', GROUP, 'm:' .. member)
  if instance then redis.call('HDEL', GROUP, 'm:' .. member, 'i:' .. instance) end
  forget_supported(member)
  each(assigned, release)
  each(revoking, release)
  if members() == 0 then redis.call('HSET', GROUP, 'empty_since', text(now)) end
  return true
end

-- Everybody gets a whole session from now: that of the group, its own one, or where that is not
-- known (it joined with an older version of these scripts) the longest of the group. Members that
-- speak the classic protocol have asked for theirs.
local function rebase()
  local longest = redis.call('HMGET', GROUP, 'session', 'rebalance')
  local set = configured()
  for _, name in ipairs(redis.call('ZRANGE', DEADLINES, '0', '-2')) do
    local member = string.sub(name, 3)
    local own = redis.call('HGET', GROUP, 't:' .. member) or ''
    local session, rebalance = string.match(own, '^(%d+)|(%d+)$')
    if set and redis.call('HEXISTS', GROUP, 'c:' .. member) == 0 then session = set end
    local span = string.sub(name, 1, 1) == 's' and (session or longest[1])
      or (rebalance or longest[2])
    redis.call('ZADD', DEADLINES, text(now + tonumber(span)), name)
  end
end

-- Removes members whose time is up, at most so many; says how many it removed.
--
-- If another history is written than when a deadline was last looked at (a failover, a restart),
-- the members could not have been heard meanwhile: nobody is removed, everybody starts afresh.
local function expire(most)
  local late = redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', text(now), 'LIMIT', '0', most)
  if #late == 0 then return 0 end
  -- What a classic member's end means is decided outside (lua/classic).
  if is_classic() then return 0 end
  local token = replication()
  if token ~= redis.call('HGET', GROUP, 'token') then
    redis.call('HSET', GROUP, 'token', token)
    rebase()
    return 0
  end
  local gone = 0
  for _, name in ipairs(late) do
    if remove(string.sub(name, 3)) then gone = gone + 1 end
  end
  if gone > 0 then raise_epoch() end
  return gone
end

local function next_deadline()
  local first = redis.call('ZRANGE', DEADLINES, '0', '0', 'WITHSCORES')
  local score = tonumber(first[2])
  if not score or score == math.huge then return 2147483647 end
  return math.max(0, score - now)
end

-- All that a member's next step depends on.
local function view(member)
  local row = redis.call('HGET', CURRENT, member)
  local group = redis.call('HMGET', GROUP, 'epoch', 'target_epoch', 'seen', 'configs')
  local target = redis.call('HGET', TARGET, member) or ''
  local busy = {}
  if row then
    local _, _, _, _, _, assigned = parse(row)
    if target ~= assigned then
      each(target, function(partition)
        local owner = redis.call('HGET', OWNER, partition)
        if owner and owner ~= member then busy[#busy + 1] = partition end
      end)
    end
  end
  return {row, target, group[1], group[2], group[3] or '', table.concat(busy, ' '),
    next_deadline(), written(), group[4] or ''}
end
