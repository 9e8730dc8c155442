#!lua flags=allow-oom
-- apply: a member's own step towards its target.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]   member
-- ARGV[3]   seen          its row, byte for byte, that the step was computed from
-- ARGV[4]   target_epoch  the same
-- ARGV[5]   epoch         the new row: this and the next four
-- ARGV[6]   previous
-- ARGV[7]   state
-- ARGV[8]   assigned
-- ARGV[9]   revoking
-- ARGV[10]  acquire       partitions taken: refused unless all are free
-- ARGV[11]  release       partitions given up
-- ARGV[12]  want          partitions that others own: this member is rung when they are free
--
-- Returns  the view, with the new row if the step was taken, or an error code:
--          25 UNKNOWN_MEMBER_ID
--
-- Equal bytes mean that nothing has happened to the member since: so a heartbeat that comes late,
-- or twice, cannot acknowledge a revocation that the member has not heard of.
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
expire(8)
local member = ARGV[2]
local row = applied(member)
if not row then return refuse(25, 'member ' .. member .. ' is not in the group') end
local taken = row ~= ARGV[3] or redis.call('HGET', GROUP, 'target_epoch') ~= ARGV[4]
each(ARGV[10], function(partition)
  local owner = redis.call('HGET', OWNER, partition)
  if owner and owner ~= member then taken = true end
end)
if taken then return view(member) end

local _, _, _, incarnation = parse(row)
each(ARGV[11], release)
each(ARGV[10], function(partition)
  redis.call('HSET', OWNER, partition, member)
  redis.call('HDEL', WANT, partition)
end)
each(ARGV[12], function(partition) redis.call('HSET', WANT, partition, member) end)
write_row(member, ARGV[5], ARGV[6], incarnation, ARGV[7], ARGV[8], ARGV[9])
if ARGV[9] == '' then
  redis.call('ZREM', DEADLINES, 'r:' .. member)
else
  local rest = cjson.decode(string.match(redis.call('HGET', SUBSCRIPTIONS, member), '\n(.*)$'))
  redis.call('ZADD', DEADLINES, text(now + rest[2]), 'r:' .. member)
end
return view(member)
