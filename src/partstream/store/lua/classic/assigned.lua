#!lua flags=allow-oom
-- assigned: what members of a classic group were assigned in one generation.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]   generation
-- ARGV[3..] members
--
-- Returns  what each is assigned; nothing at all if that generation is not in force (any more)
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
local group = redis.call('HMGET', GROUP, 'type', 'phase', 'generation')
if group[1] ~= 'classic' or group[2] ~= 'Stable' or group[3] ~= ARGV[2] then return {} end
local found = {}
for i = 3, #ARGV do found[i - 2] = redis.call('HGET', TARGET, ARGV[i]) or '' end
return found
