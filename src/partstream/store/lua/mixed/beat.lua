#!lua flags=allow-oom
-- beat: Heartbeat or SyncGroup of a member of a consumer group.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  member
-- ARGV[3]  instance    empty for a dynamic member
-- ARGV[4]  generation  to it, its epoch is one
--
-- Returns  {view, 1 if all members speak the classic protocol, what this one supports}; nothing at
--          all if this is not a consumer group with members; or an error code:
--          22 ILLEGAL_GENERATION, 25 UNKNOWN_MEMBER_ID, 82 FENCED_INSTANCE_ID
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
--@include includes/mixed.lua
if redis.call('HGET', GROUP, 'type') ~= 'consumer' or members() == 0 then return {} end
local member = ARGV[2]
local replaced = replaced_by_another(member, ARGV[3])
if replaced then return replaced end
local row = applied(member)
local supported = redis.call('HGET', GROUP, 'c:' .. member)
if not row or not supported then
  return refuse(25, 'member ' .. member .. ' is not in the group')
end
local epoch = parse(row)
if epoch ~= ARGV[4] then
  return refuse(22, 'member ' .. member .. ' is at generation ' .. epoch .. ', not ' .. ARGV[4])
end
local session = string.match(redis.call('HGET', GROUP, 't:' .. member), '^%d+')
local mine = redis.call('ZSCORE', DEADLINES, 's:' .. member)
if mine and tonumber(mine) > now + tonumber(session) + 1000 then rebase() end -- as in group/beat
redis.call('ZADD', DEADLINES, text(now + tonumber(session)), 's:' .. member)
expire(8)
if not applied(member) then return refuse(25, 'member ' .. member .. ' came too late') end
return {view(member), only_classics(), supported}
