#!lua flags=allow-oom
-- leave: a member leaves, for good or (static members) for a while.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  member
-- ARGV[3]  instance   empty for a dynamic member
-- ARGV[4]  for_good   1, or 0: what it owns stays its instance's until the session ends
-- ARGV[5]  classic    1: it is a LeaveGroup, in which a member without an id is whoever the instance
--                     is; else 0
--
-- Returns  {token of this history, 1 if only members are left that speak the classic protocol}, or
--          an error code: 23 INCONSISTENT_GROUP_PROTOCOL (`classic`, but it is no consumer group),
--          25 UNKNOWN_MEMBER_ID, 82 FENCED_INSTANCE_ID
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
--@include includes/mixed.lua
local member = ARGV[2]
local classic = ARGV[5] == '1'
if classic and (redis.call('HGET', GROUP, 'type') ~= 'consumer' or members() == 0) then
  return refuse(23, 'this is not a consumer group with members')
end
if ARGV[3] ~= '' then
  local holder = redis.call('HGET', GROUP, 'i:' .. ARGV[3])
  if not holder then
    return refuse(25, 'there is no instance ' .. ARGV[3] .. ' in the group')
  end
  if classic and member == '' then member = holder end
  if holder ~= member then
    return refuse(82, 'instance ' .. ARGV[3] .. ' is now member ' .. holder)
  end
end
local row = applied(member)
if not row then return refuse(25, 'member ' .. member .. ' is not in the group') end
if ARGV[4] == '1' then
  remove(member)
  raise_epoch()
  -- Somebody has to make the next assignment: the member last heard of is surely there.
  for _, name in ipairs(redis.call('ZRANGE', DEADLINES, '1', '8', 'REV')) do
    if string.sub(name, 1, 2) == 's:' then
      ring(string.sub(name, 3))
      break
    end
  end
else
  local epoch, _, _, incarnation, state, assigned, revoking = parse(row)
  if epoch ~= '-2' then
    each(revoking, release)
    redis.call('ZREM', DEADLINES, 'r:' .. member)
    write_row(member, '-2', epoch, incarnation, state == 'R' and 'W' or state, assigned, '')
  end
end
expire(8)
return {written(), only_classics()}
