#!lua flags=allow-oom
-- expire_offsets: forget the offsets of a group that has been without members for long.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  retention_ms  since the last member left and since the commit, whichever is later
--
-- Returns  how many it forgot
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
expire(1000)
local group = redis.call('HMGET', GROUP, 'empty_since', 'members')
if not group[1] or members() + tonumber(group[2] or '0') > 0 then return 0 end
local limit = now - tonumber(ARGV[2])
if tonumber(group[1]) > limit then return 0 end
local rows = redis.call('HGETALL', OFFSETS)
local gone = 0
for i = 1, #rows, 2 do
  local time = string.match(rows[i + 1], '^[^|]*|[^|]*|(%d+)|')
  if time and tonumber(time) <= limit then
    redis.call('HDEL', OFFSETS, rows[i])
    gone = gone + 1
  end
end
return gone
