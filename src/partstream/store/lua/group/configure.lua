#!lua flags=allow-oom
-- configure: set what a group is configured to, whether or not there is such a group (yet).
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  old      the row that it replaces, as it was read; empty: there was none
-- ARGV[3]  configs  the new row; empty: nothing is configured any more
--
-- Returns  what `Store.confirm` takes; '' if the row was changed meanwhile: read it, try again
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
if (redis.call('HGET', GROUP, 'configs') or '') ~= ARGV[2] then return '' end
if ARGV[3] ~= '' then
  make_keys()
  redis.call('HSET', GROUP, 'configs', ARGV[3])
  -- Nobody's session is longer than the longest: else it would look as if the clock had gone back.
  local session = configured()
  if session and exists() and session > tonumber(redis.call('HGET', GROUP, 'session')) then
    redis.call('HSET', GROUP, 'session', text(session))
  end
elseif exists() then
  redis.call('HDEL', GROUP, 'configs')
else
  redis.call('DEL', unpack(KEYS))
end
return written()
