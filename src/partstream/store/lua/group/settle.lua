#!lua flags=allow-oom
-- settle: install a new target assignment.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  expected     the target epoch that it was computed from
-- ARGV[3]  new          the group epoch that it was computed for: the new target epoch
-- ARGV[4]  topics       fingerprint of the topics that the group subscribes to
-- ARGV[5]  fingerprint  of all topics
-- ARGV[6]  assignor
-- ARGV[7..]             pairs: member, its new target; only those that changed
--
-- Returns  1, or 0 if another target came first
--
-- It is taken even if the group has changed since: else a group that changes all the time would
-- never get one. Members that left are passed over, and only those concerned are rung.
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
expire(8)
local group = redis.call('HMGET', GROUP, 'epoch', 'target_epoch')
if group[2] ~= ARGV[2] or is_classic() then return 0 end
redis.call('HSET', GROUP, 'target_epoch', ARGV[3], 'topics', ARGV[4], 'seen', ARGV[5],
  'assignor', ARGV[6], 'assigned_at', text(now))
redis.call('HDEL', GROUP, 'claim_until', 'claimant', 'dirty_since')
if group[1] ~= ARGV[3] then redis.call('HSET', GROUP, 'dirty_since', text(now)) end
for i = 7, #ARGV, 2 do
  if redis.call('HEXISTS', CURRENT, ARGV[i]) == 1 then
    redis.call('HSET', TARGET, ARGV[i], ARGV[i + 1])
    ring(ARGV[i])
  end
end
return 1
