#!lua flags=allow-oom
-- join: enter a group, or enter it again.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]   member
-- ARGV[3]   incarnation   20 digits; a later join of the same member id has a larger one
-- ARGV[4]   session_ms    where none is set for the group; a member that speaks the classic protocol
--                         has asked for it
-- ARGV[5]   rebalance_ms
-- ARGV[6]   instance      empty for a dynamic member
-- ARGV[7]   subscription
-- ARGV[8]   group_id
-- ARGV[9]   create        1 if the group may be made; it must be in the list of groups before
-- ARGV[10]  max_size      0 for no limit
-- ARGV[11]  supported     what a member that speaks the classic protocol supports; else empty
-- ARGV[12]  version       of a classic group that has members: it becomes a consumer group if it is
--                         still at this version; empty: it does not
-- ARGV[13]  topics        fingerprint of the topics that it subscribes to, if all of that is assigned
-- ARGV[14]  seen          fingerprint of all topics, the same
-- ARGV[15..]              its members, seven each: id, generation, partitions, subscription,
--                         instance, `session|rebalance` in ms, supported
--
-- Returns  {made, told before, view}, or an error code: 23 INCONSISTENT_GROUP_PROTOCOL,
--          69 GROUP_ID_NOT_FOUND (without `create`), 81 GROUP_MAX_SIZE_REACHED,
--          110 FENCED_MEMBER_EPOCH, 111 UNRELEASED_INSTANCE_ID
--
-- The same join once more changes nothing: its first answer was lost, and the partitions that this
-- answer gave may be in use. A newer join of the same member id has lost all that it had.
-- A static member that was away takes over what its instance had, without a rebalance of its own. So
-- does one where the old or the new member speaks the classic protocol: those do not say that they
-- leave. A classic group becomes a consumer group together with the join that asks for it, or not at
-- all.
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
--@include includes/mixed.lua
local member, incarnation, instance, subscription = ARGV[2], ARGV[3], ARGV[6], ARGV[7]

local classic = ARGV[11] ~= ''

local function full(joins_anew)
  if joins_anew and ARGV[10] ~= '0' and members() >= tonumber(ARGV[10]) then
    return refuse(81, 'group ' .. ARGV[8] .. ' has ' .. members()
      .. ' members, the most it may have')
  end
end

-- The group's own epoch stays if it is larger: it was somebody's.
local function take_type(generation)
  if generation > tonumber(redis.call('HGET', GROUP, 'epoch')) then
    redis.call('HSET', GROUP, 'epoch', text(generation), 'target_epoch', text(generation))
  end
  redis.call('HSET', GROUP, 'type', 'consumer',
    'versions', redis.call('HGET', GROUP, 'version') or '0')
  redis.call('HDEL', GROUP, 'version', 'writer', 'phase', 'generation', 'classic')
  redis.call('ZREMRANGEBYSCORE', DEADLINES, '-inf', '(+inf')
end

-- Each member keeps what it owns, at an epoch that is the generation that it knows.
local function convert()
  redis.call('HSET', GROUP, 'target_epoch', redis.call('HGET', GROUP, 'epoch'),
    'topics', ARGV[13], 'seen', ARGV[14])
  for i = 15, #ARGV, 7 do
    local id, assigned, instance = ARGV[i], ARGV[i + 2], ARGV[i + 4]
    write_row(id, ARGV[i + 1], ARGV[i + 1], string.rep('0', 20), 'S', assigned, '')
    each(assigned, function(partition) redis.call('HSET', OWNER, partition, id) end)
    redis.call('HSET', TARGET, id, assigned)
    redis.call('HSET', SUBSCRIPTIONS, id, ARGV[i + 3])
    if instance ~= '' then
      redis.call('HSET', GROUP, 'i:' .. instance, id, 'm:' .. id, instance)
    end
    mark_alive(id, string.match(ARGV[i + 5], '^(%d+)|(%-?%d+)$'))
    set_supported(id, ARGV[i + 6])
  end
  ring('')
end

local made = 0
local kind = redis.call('HGET', GROUP, 'type')
if classic and (kind ~= 'consumer' or members() == 0) then
  return refuse(23, 'group ' .. ARGV[8] .. ' is not a consumer group with members')
end
if not kind then
  if ARGV[9] ~= '1' then return refuse(69, 'group ' .. ARGV[8] .. ' does not exist') end
  create('consumer', ARGV[8])
  made = 1
elseif kind ~= 'consumer' then
  local upgrades = members() > 0
  if upgrades and (ARGV[12] == '' or redis.call('HGET', GROUP, 'version') ~= ARGV[12]) then
    return refuse(23, 'group ' .. ARGV[8] .. ' is a ' .. kind .. ' group, and not empty')
  end
  local replaces = false
  for i = 19, #ARGV, 7 do replaces = replaces or (instance ~= '' and ARGV[i] == instance) end
  local refused = upgrades and full(not replaces)
  if refused then return refused end
  -- What was given out in generations is not given out as epochs again.
  take_type(tonumber(redis.call('HGET', GROUP, 'generation') or '0'))
  if upgrades then convert() end
  made = 1
end
local session = not classic and configured() or ARGV[4]
expire(8)

-- Whose place it takes: its own of an earlier join, or that of the instance's last member.
local before = member
if instance ~= '' then
  before = redis.call('HGET', GROUP, 'i:' .. instance) or member
end
local row = redis.call('HGET', CURRENT, before)
local epoch, previous, earlier, state, assigned, revoking, _
if row then
  epoch, previous, _, earlier, state, assigned, revoking = parse(row)
  if before ~= member and epoch ~= '-2' and not (classic or speaks_classic(before)) then
    -- When its session ends tells whoever asks again and again whether it still lives; but in
    -- another history all sessions were moved on.
    return refuse(111, 'instance ' .. instance .. ' is still in use by member ' .. before
      .. ', whose session ends at ' .. (redis.call('ZSCORE', DEADLINES, 's:' .. before) or '0')
      .. ' in history ' .. string.sub(redis.call('HGET', GROUP, 'token') or '', 1, 8))
  end
  if before == member and incarnation == earlier and epoch ~= '-2' then
    mark_alive(member, session, ARGV[5])
    return {made, 1, view(member)}
  end
  if before == member and incarnation < earlier then
    return refuse(110, 'member ' .. member .. ' has joined again since')
  end
else
  local refused = full(true)
  if refused then return refused end
end

local old = row and redis.call('HGET', SUBSCRIPTIONS, before) or ''
local returns = row and (epoch == '-2' or before ~= member)
if row then forget_supported(before) end
if returns then
  local target = redis.call('HGET', TARGET, before) or ''
  for _, key in ipairs({CURRENT, TARGET, SUBSCRIPTIONS}) do redis.call('HDEL', key, before) end
  redis.call('ZREM', DEADLINES, 's:' .. before, 'r:' .. before)
  redis.call('HDEL', GROUP, 'm:' .. before, 't:' .. before)
  each(assigned, function(partition) redis.call('HSET', OWNER, partition, member) end)
  each(revoking, release)
  redis.call('HSET', TARGET, member, target)
  write_row(member, epoch == '-2' and previous or epoch, '0', incarnation,
    state == 'R' and 'W' or state, assigned, '')
else
  if row then
    each(assigned, release)
    each(revoking, release)
    redis.call('ZREM', DEADLINES, 'r:' .. member)
  end
  -- Its epoch was never anybody's before. So what is left over from an earlier incarnation, late
  -- heartbeats and commits, has another one and is refused, even if the join itself came so late
  -- that nobody knows of the earlier one any more.
  raise_epoch()
  write_row(member, redis.call('HGET', GROUP, 'epoch'), '0', incarnation, 'S', '', '')
end
redis.call('HSET', SUBSCRIPTIONS, member, subscription)
if instance ~= '' then
  redis.call('HSET', GROUP, 'i:' .. instance, member, 'm:' .. member, instance)
end
if classic then set_supported(member, ARGV[11]) end
mark_alive(member, session, ARGV[5])
redis.call('HDEL', GROUP, 'empty_since')
local group = redis.call('HMGET', GROUP, 'epoch', 'target_epoch')
if returns and (string.match(old, '^[^\n]*') ~= string.match(subscription, '^[^\n]*')
  -- The assignment that is due may have been computed already, and name the one that it was before:
  -- settle passes that over, and so another one has to follow.
  or (before ~= member and group[1] ~= group[2])) then
  raise_epoch()
end
return {made, 0, view(member)}
