#!lua flags=allow-oom
-- subscribe: change what a member subscribes to.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  member
-- ARGV[3]  member_epoch
-- ARGV[4]  old           the subscription that it replaces, byte for byte
-- ARGV[5]  subscription
--
-- Returns  1, or 0 if it was changed meanwhile, or the member has moved on
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
local row = applied(ARGV[2])
if not row or redis.call('HGET', SUBSCRIPTIONS, ARGV[2]) ~= ARGV[4] then return 0 end
local epoch, previous = parse(row)
if epoch == '-2' or (ARGV[3] ~= epoch and ARGV[3] ~= previous) then return 0 end
redis.call('HSET', SUBSCRIPTIONS, ARGV[2], ARGV[5])
if string.match(ARGV[4], '^[^\n]*') ~= string.match(ARGV[5], '^[^\n]*') then raise_epoch() end
return 1
