#!lua flags=allow-oom
-- delete: a group that has no members, with its offsets. What was set for it stays, as in Kafka.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  unused_only   1 to delete it only if it holds no offsets either
--
-- Returns  1, or 0 if it holds offsets, or an error code: 68 NON_EMPTY_GROUP,
--          69 GROUP_ID_NOT_FOUND
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
if not exists() then return refuse(69, 'the group does not exist') end
expire(1000)
if members() > 0 then return refuse(68, 'the group has ' .. text(members()) .. ' members') end
if ARGV[2] == '1' and redis.call('HLEN', OFFSETS) > 1 then return 0 end
local configs = redis.call('HGET', GROUP, 'configs')
redis.call('DEL', unpack(KEYS))
if configs then
  make_keys()
  redis.call('HSET', GROUP, 'configs', configs)
end
return 1
