#!lua flags=allow-oom
-- expect: a member is to do something (join again, or sync) within its rebalance time, or has done it.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  member
-- ARGV[3]  seen    its row, byte for byte
-- ARGV[4]  awaits  1: the time begins, unless it has; 0: it is over
--
-- Returns  1, or 0 if the row has changed: whoever changed it knows better
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
local member = ARGV[2]
if redis.call('HGET', CURRENT, member) ~= ARGV[3] then return 0 end
if ARGV[4] == '1' then
  local rebalance = string.match(redis.call('HGET', GROUP, 't:' .. member), '|(%-?%d+)$')
  redis.call('ZADD', DEADLINES, 'NX', text(now + tonumber(rebalance)), 'r:' .. member)
else
  redis.call('ZREM', DEADLINES, 'r:' .. member)
end
return 1
