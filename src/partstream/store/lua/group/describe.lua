#!lua flags=allow-oom
-- describe: a group and its members, those whose session has ended left out.
--
-- KEYS, ARGV[1]  as in includes/group.lua
--
-- Returns  {group, subscriptions, current, target}, each as name, value, name, value, ...;
--          an empty group if there is none; of a classic group only itself
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
if exists() then expire(1000) end
if is_classic() then
  return {redis.call('HGETALL', GROUP), {}, {}, {}}
end
return {redis.call('HGETALL', GROUP), redis.call('HGETALL', SUBSCRIPTIONS),
  redis.call('HGETALL', CURRENT), redis.call('HGETALL', TARGET)}
