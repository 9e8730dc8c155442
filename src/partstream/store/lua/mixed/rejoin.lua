#!lua flags=allow-oom
-- rejoin: JoinGroup of a member of a consumer group.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  member
-- ARGV[3]  instance      empty for a dynamic member
-- ARGV[4]  session_ms
-- ARGV[5]  rebalance_ms
-- ARGV[6]  subscription
-- ARGV[7]  supported     what it supports, for when the group is a classic one again
--
-- Returns  the view, or an error code: 23 INCONSISTENT_GROUP_PROTOCOL (no consumer group with
--          members), 25 UNKNOWN_MEMBER_ID, 82 FENCED_INSTANCE_ID
--
-- It keeps what it owns; what it says that it owns counts in the steps that follow.
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
--@include includes/mixed.lua
if redis.call('HGET', GROUP, 'type') ~= 'consumer' or members() == 0 then
  return refuse(23, 'this is not a consumer group with members')
end
local member = ARGV[2]
local replaced = replaced_by_another(member, ARGV[3])
if replaced then return replaced end
local row = applied(member)
if not row then return refuse(25, 'member ' .. member .. ' is not in the group') end
local old = redis.call('HGET', SUBSCRIPTIONS, member)
redis.call('HSET', SUBSCRIPTIONS, member, ARGV[6])
if string.match(old, '^[^\n]*') ~= string.match(ARGV[6], '^[^\n]*') then raise_epoch() end
set_supported(member, ARGV[7])
mark_alive(member, ARGV[4], ARGV[5])
redis.call('ZREM', DEADLINES, 'r:' .. member)
-- Another version of the row: steps of an earlier join that are still on their way count no more.
local epoch, previous, _, incarnation, state, assigned, revoking = parse(row)
write_row(member, epoch, previous, incarnation, state, assigned, revoking)
return view(member)
