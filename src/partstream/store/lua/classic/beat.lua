#!lua flags=allow-oom
-- beat: keep a member of a classic group alive.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  member
-- ARGV[3]  generation
-- ARGV[4]  instance    as in the member's row; empty if the caller does not say
--
-- Returns  {phase, ms until the group's next deadline}, or {'', 0} if the member is not what the
--          caller believes: load the group, and see why; {'consumer', 0} if it is a consumer group
--          that has members
--
-- It changes nothing that a step depends on, except for the end of this member's session, and a
-- step looks at that again.
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
local group = redis.call('HMGET', GROUP, 'type', 'phase', 'generation')
local row = redis.call('HGET', CURRENT, ARGV[2])
if group[1] == 'consumer' and members() > 0 then return {'consumer', 0} end
if ARGV[2] == '' or group[1] ~= 'classic' or group[3] ~= ARGV[3] or not row then
  return {'', 0}
end
local session, instance = string.match(row, '^(%d+)\n([^\n]*)\n')
if ARGV[4] ~= '' and ARGV[4] ~= instance then return {'', 0} end
-- Not of one that waits for an answer: it has none, and none is to be made.
if redis.call('ZSCORE', DEADLINES, 's:' .. ARGV[2]) then
  redis.call('ZADD', DEADLINES, text(now + tonumber(session)), 's:' .. ARGV[2])
end
return {group[2], next_deadline()}
