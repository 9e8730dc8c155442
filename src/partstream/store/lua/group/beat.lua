#!lua flags=allow-oom
-- beat: keep a member alive, and tell whether there is anything to do.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  member
-- ARGV[3]  member_epoch
-- ARGV[4]  session_ms
-- ARGV[5]  instance     empty for a dynamic member
-- ARGV[6]  seen         the seq of its row that the member knows; empty if it does not say
-- ARGV[7]  fingerprint  of the topics, as the caller knows them
--
-- Returns  ms until the next deadline of the group if all is quiet, else the view; or an error
--          code: 25 UNKNOWN_MEMBER_ID, 82 FENCED_INSTANCE_ID, 110 FENCED_MEMBER_EPOCH
--
-- The hot one: a member of a group at rest costs this and nothing else. It expires nobody, so a
-- member that is late itself, but has not been missed, lives on.
--
-- The epoch moves on here if that is all there is to do, but never twice for one epoch that the
-- member knows: after two lost answers a healthy member would be fenced.
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
local member = ARGV[2]
if ARGV[5] ~= '' then
  local holder = redis.call('HGET', GROUP, 'i:' .. ARGV[5])
  if holder and holder ~= member then
    return refuse(82, 'instance ' .. ARGV[5] .. ' is now member ' .. holder)
  end
end
local row = redis.call('HGET', CURRENT, member)
if not row then return refuse(25, 'member ' .. member .. ' is not in the group') end
local epoch, previous, seq, incarnation, state, assigned = parse(row)
if epoch == '-2' or (ARGV[3] ~= epoch and ARGV[3] ~= previous) then
  return refuse(110, 'member ' .. member .. ' is at epoch ' .. epoch .. ', not ' .. ARGV[3])
end

local mine = tonumber(redis.call('ZSCORE', DEADLINES, 's:' .. member))
if mine and mine > now + tonumber(ARGV[4]) + 1000 then rebase() end -- the clock went backwards
redis.call('ZADD', DEADLINES, text(now + tonumber(ARGV[4])), 's:' .. member)

local group = redis.call('HMGET', GROUP, 'epoch', 'target_epoch', 'seen')
if ARGV[3] == epoch and state == 'S' and group[1] == group[2] then
  if epoch ~= group[2] and (redis.call('HGET', TARGET, member) or '') == assigned then
    write_row(member, group[2], epoch, incarnation, 'S', assigned, '')
  elseif epoch == group[2] and seq == ARGV[6] and ARGV[7] == group[3] then
    local quiet = next_deadline()
    if quiet > 0 then return quiet end
  end
end
return view(member)
