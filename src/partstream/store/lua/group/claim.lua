#!lua flags=allow-oom
-- claim: who makes the next target assignment, and from what.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  claimant
-- ARGV[3]  window_ms   how long after the first change others may follow before it is worth it
-- ARGV[4]  claim_ms    how long a claim holds
-- ARGV[5]  interval_ms after the last assignment another may be made; of groups where none is set
--
-- Returns  {0}: nothing to do; {1, ms}: not yet, or another claimant is at it;
--          {2, epoch, target_epoch, subscriptions, targets}; or {3, ms}: surely not before then
--
-- A claim only saves work: settle is guarded by itself. The same claimant gets it again, for the
-- answer with its claim may have been lost.
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
if expire(8) == 8 then return {1, 0} end
local group = redis.call('HMGET', GROUP, 'epoch', 'target_epoch', 'dirty_since', 'claim_until',
  'claimant', 'assigned_at')
if not group[1] or group[1] == group[2] or members() == 0 or is_classic() then return {0} end
if group[4] and group[5] ~= ARGV[2] and tonumber(group[4]) > now then
  return {1, math.min(tonumber(group[4]) - now, tonumber(ARGV[4]))}
end
local _, _, interval = configured()
interval = interval or tonumber(ARGV[5])
local assigned = tonumber(group[6] or '0')
if assigned <= now and now < assigned + interval then return {3, assigned + interval - now} end
local since = tonumber(group[3] or '0')
if since <= now and now < since + tonumber(ARGV[3]) then
  return {1, since + tonumber(ARGV[3]) - now}
end
redis.call('HSET', GROUP, 'claim_until', text(now + tonumber(ARGV[4])), 'claimant', ARGV[2])
return {2, group[1], group[2], redis.call('HGETALL', SUBSCRIPTIONS), redis.call('HGETALL', TARGET)}
