#!lua flags=allow-oom
-- downgrade: a consumer group whose members all speak the classic protocol becomes a classic group.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]   epoch       of the group, that was read
-- ARGV[3]   seq         the same
-- ARGV[4]   writer      of this step alone: so that a lost answer is known for what it was
-- ARGV[5]   generation
-- ARGV[6]   the rest of the group
-- ARGV[7]   join_ms     how long its members have to join again
-- ARGV[8..]             its members, four each: id, row, protocols, assignment
--
-- Returns  {1 if it was done, token}; {0, ''} if the group has changed: read it again
--
-- No change leaves both the group's epoch and its seq as they were: not a join, nor a step, nor an
-- end. The members keep their sessions, and hear at their next heartbeats that they are to join.
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
local group = redis.call('HMGET', GROUP, 'type', 'epoch', 'seq', 'writer')
if group[1] == 'classic' and group[4] == ARGV[4] then return {1, written()} end
if group[1] ~= 'consumer' or group[2] ~= ARGV[2] or group[3] ~= ARGV[3]
  or members() ~= (#ARGV - 7) / 4 then
  return {0, ''}
end
local function free(partition) redis.call('HDEL', OWNER, partition) end
for i = 8, #ARGV, 4 do
  local id = ARGV[i]
  local _, _, _, _, _, assigned, revoking = parse(redis.call('HGET', CURRENT, id))
  each(assigned, free)
  each(revoking, free)
  local instance = redis.call('HGET', GROUP, 'm:' .. id)
  if instance then redis.call('HDEL', GROUP, 'i:' .. instance) end
  redis.call('HDEL', GROUP, 'm:' .. id, 't:' .. id, 'c:' .. id)
  redis.call('ZREM', DEADLINES, 'r:' .. id)
  redis.call('HSET', CURRENT, id, ARGV[i + 1])
  redis.call('HSET', SUBSCRIPTIONS, id, ARGV[i + 2])
  redis.call('HSET', TARGET, id, ARGV[i + 3])
end
local versions = tonumber(redis.call('HGET', GROUP, 'versions') or '0')
redis.call('HDEL', GROUP, 'classics', 'versions', 'claim_until', 'claimant', 'dirty_since')
redis.call('HSET', GROUP, 'type', 'classic', 'version', text(versions + 1), 'writer', ARGV[4],
  'phase', 'PreparingRebalance', 'generation', ARGV[5], 'classic', ARGV[6],
  'token', (replication()))
redis.call('ZADD', DEADLINES, text(now + tonumber(ARGV[7])), 'j:')
return {1, written()}
