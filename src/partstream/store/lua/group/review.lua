#!lua flags=allow-oom
-- review: topics were made, changed or deleted, and somebody has looked whether it matters here.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  old          the fingerprint of all topics that the group had seen
-- ARGV[3]  fingerprint  what it is now
-- ARGV[4]  matters      1 if the group subscribes to what changed
--
-- Returns  1 if there is a new target to make, else 0
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
local group = redis.call('HMGET', GROUP, 'epoch', 'target_epoch', 'seen')
if not group[1] or (group[3] or '') ~= ARGV[2] then return 0 end
if group[1] ~= group[2] then return 1 end
redis.call('HSET', GROUP, 'seen', ARGV[3])
if ARGV[4] ~= '1' then return 0 end
raise_epoch()
return 1
