#!lua flags=allow-oom
-- delete_offsets: forget what a group has committed of some partitions.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2..]      partitions; who calls has checked that nobody subscribes to their topics
--
-- Returns  the token of this history, or an error code: 69 GROUP_ID_NOT_FOUND
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
if not exists() then return refuse(69, 'the group does not exist') end
for i = 2, #ARGV do redis.call('HDEL', OFFSETS, ARGV[i]) end
return written()
