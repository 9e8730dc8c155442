#!lua flags=allow-oom
-- expire_offsets: forget the offsets of a group that has been without members for long.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  retention_ms  since the last member left and since the commit, whichever is later
--
-- Returns  how many it forgot; -1 if members of a classic group may be gone: step it, ask again
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
expire(1000)
local empty_since = redis.call('HGET', GROUP, 'empty_since')
if is_classic() and next_deadline() == 0 then return -1 end
if not empty_since or members() > 0 then return 0 end
local limit = now - tonumber(ARGV[2])
if tonumber(empty_since) > limit then return 0 end
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
