#!lua flags=allow-oom
-- step: write a classic group's next step, if nothing has happened since it was decided.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]   seen        the version that was loaded; '' of a group that never had members
-- ARGV[3]   kind        the type that was loaded: 'classic', 'consumer' (empty, to be taken over),
--                       or '' to make the group; it must be in the list of groups before
-- ARGV[4]   writer      of this step alone: so that a lost answer is known for what it was
-- ARGV[5]   group_id
-- ARGV[6]   phase
-- ARGV[7]   generation
-- ARGV[8]   the rest of the group
-- ARGV[9]   ring        1 if those that wait may be answered now
-- ARGV[10..]            triples, done in their order:
--            'finish', name, ''     this session must have ended, and goes
--            'rename', id, old      it takes over what the old id was assigned
--            'gone', id, ''         it is no member any more
--            'member', id, row      a member is new or has changed
--            'protocols', id, data  what it supports
--            'assign', id, data     what it is assigned
--            'done', name, ''       a deadline that is none any more
--            'due', name, ms        a deadline
--
-- Returns  {1 if written, made, token}; {0, 0, ''} if the group has changed: load it again
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
local found = redis.call('HMGET', GROUP, 'type', 'version', 'writer')
if found[3] == ARGV[4] then return {1, 1, written()} end
if (found[1] or '') ~= ARGV[3] or (found[2] or '') ~= ARGV[2] then return {0, 0, ''} end
if ARGV[3] == 'consumer' and members() > 0 then return {0, 0, ''} end
for i = 10, #ARGV, 3 do
  if ARGV[i] == 'finish' then
    local due = redis.call('ZSCORE', DEADLINES, ARGV[i + 1])
    if due and tonumber(due) > now then return {0, 0, ''} end
  end
end

if ARGV[3] == '' then create('classic', ARGV[5]) end
if ARGV[3] ~= 'classic' then
  redis.call('HSET', GROUP, 'type', 'classic')
  redis.call('ZREMRANGEBYSCORE', DEADLINES, '-inf', '(+inf')
end
local doing = {
  finish = function(name) redis.call('ZREM', DEADLINES, name) end,
  rename = function(id, old)
    redis.call('HSET', TARGET, id, redis.call('HGET', TARGET, old) or '')
  end,
  gone = function(id)
    for _, key in ipairs({CURRENT, SUBSCRIPTIONS, TARGET}) do redis.call('HDEL', key, id) end
  end,
  member = function(id, row) redis.call('HSET', CURRENT, id, row) end,
  protocols = function(id, data) redis.call('HSET', SUBSCRIPTIONS, id, data) end,
  assign = function(id, data) redis.call('HSET', TARGET, id, data) end,
  done = function(name) redis.call('ZREM', DEADLINES, name) end,
  due = function(name, ms) redis.call('ZADD', DEADLINES, ms, name) end,
}
for i = 10, #ARGV, 3 do doing[ARGV[i]](ARGV[i + 1], ARGV[i + 2]) end

redis.call('HINCRBY', GROUP, 'version', '1')
redis.call('HSET', GROUP, 'writer', ARGV[4], 'phase', ARGV[6], 'generation', ARGV[7],
  'classic', ARGV[8], 'token', (replication()))
if members() > 0 then
  redis.call('HDEL', GROUP, 'empty_since')
else
  redis.call('HSETNX', GROUP, 'empty_since', text(now))
end
if ARGV[9] == '1' then ring('') end
return {1, ARGV[3] == 'classic' and 0 or 1, written()}
