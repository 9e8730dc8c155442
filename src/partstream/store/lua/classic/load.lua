#!lua flags=allow-oom
-- load: a classic group as it is, to decide on its next step.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  details  1: also what members support and are assigned
--
-- Returns  {type or '', members, version, phase, generation, the rest of the group, its members,
--          its deadlines, now, 1 if this is not the history in which deadlines were set, token,
--          protocols, assignments}
--
-- All that is of members is left out if it is no classic group. What is due is left for whoever
-- steps the group: what follows from a member's end is decided outside.
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
local group = redis.call('HMGET', GROUP, 'type', 'version', 'phase', 'generation', 'classic', 'token')
if not group[1] then return {'', 0, '', '', '', '', {}, {}, now, 0, written(), {}, {}} end
if group[1] ~= 'classic' then
  expire(1000)
  return {group[1], members(), '', '', '', '', {}, {}, now, 0, written(), {}, {}}
end
local token = replication()
return {group[1], members(), group[2] or '', group[3] or '', group[4] or '', group[5] or '',
  redis.call('HGETALL', CURRENT), redis.call('ZRANGE', DEADLINES, '0', '-1', 'WITHSCORES'), now,
  token == group[6] and 0 or 1, written(),
  ARGV[2] == '1' and redis.call('HGETALL', SUBSCRIPTIONS) or {},
  ARGV[2] == '1' and redis.call('HGETALL', TARGET) or {}}
