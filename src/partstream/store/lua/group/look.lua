#!lua flags=allow-oom
-- look: what a member's next step depends on, after others have been at work.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  member
--
-- Returns  the view, or an error code: 25 UNKNOWN_MEMBER_ID
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
expire(8)
if not applied(ARGV[2]) then
  return refuse(25, 'member ' .. ARGV[2] .. ' is not in the group')
end
return view(ARGV[2])
