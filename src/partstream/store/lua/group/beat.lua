#!lua flags=allow-oom
-- beat: keep a member alive, and tell whether there is anything to do.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  member
-- ARGV[3]  member_epoch
-- ARGV[4]  session_ms   where none is set for the group
-- ARGV[5]  instance     empty for a dynamic member
-- ARGV[6]  seen         the seq of its row that the member knows; empty if it does not say
-- ARGV[7]  fingerprint  of the topics, as the caller knows them
--
-- Returns  if all is quiet {ms until the next deadline of the group, its configs}, or that number alone
--          where nothing is set for the group; else the view, and behind it the seq of the row before
--          if its epoch has moved on here; or an error code: 25 UNKNOWN_MEMBER_ID,
--          82 FENCED_INSTANCE_ID, 110 FENCED_MEMBER_EPOCH
--
-- The hot one: a member of a group at rest costs the first part and nothing else. It expires
-- nobody, so a member that is late itself, but has not been missed, lives on.
--
-- The epoch moves on here if that is all there is to do, but never twice for one epoch that the
-- member knows: after two lost answers a healthy member would be fenced.
--@include includes/now.lua
local member = ARGV[2]
local row = redis.call('HGET', KEYS[3], member)
local group = redis.call('HMGET', KEYS[1], 'epoch', 'target_epoch', 'seen', 'i:' .. ARGV[5], 'configs')
local session = tonumber(string.match(group[5] or '', '^%d+') or ARGV[4])
if row and group[1] == ARGV[3] and group[2] == ARGV[3] and group[3] == ARGV[7] then
  local holder = ARGV[5] == '' and member or group[4]
  local epoch, seq, state, assigned = string.match(row, '^(%d+)|%d+|(%d+)|%d+|(%a)|([^|]*)|')
  -- Whoever has just joined is at the newest epoch, and has its target yet to take.
  if epoch == ARGV[3] and seq == ARGV[6] and state == 'S' and holder == member
    and (redis.call('HGET', KEYS[4], member) or '') == assigned
  then
    local now = now_ms()
    local mine = redis.call('ZSCORE', KEYS[7], 's:' .. member)
    if mine and tonumber(mine) <= now + session + 1000 then
      redis.call('ZADD', KEYS[7], string.format('%.0f', now + session), 's:' .. member)
      local quiet = redis.call('ZRANGE', KEYS[7], '0', '0', 'WITHSCORES')[2] - now
      if quiet > 0 then return group[5] and {quiet, group[5]} or quiet end
    end
  end
end
--@include includes/replication.lua
--@include includes/group.lua
if ARGV[5] ~= '' and group[4] ~= member then
  if not group[4] then return refuse(25, 'there is no instance ' .. ARGV[5] .. ' in the group') end
  return refuse(82, 'instance ' .. ARGV[5] .. ' is now member ' .. group[4])
end
if not applied(member) then return refuse(25, 'member ' .. member .. ' is not in the group') end
local epoch, previous, seq, incarnation, state, assigned = parse(row)
if epoch == '-2' or (ARGV[3] ~= epoch and ARGV[3] ~= previous) then
  return refuse(110, 'member ' .. member .. ' is at epoch ' .. epoch .. ', not ' .. ARGV[3])
end

local mine = redis.call('ZSCORE', DEADLINES, 's:' .. member)
-- Not compared with its own session: a script of an older version may have given it the longest one
-- of the group.
local longest = math.max(session, tonumber(redis.call('HGET', GROUP, 'session')))
if mine and tonumber(mine) > now + longest + 1000 then rebase() end -- the clock went backwards
redis.call('ZADD', DEADLINES, text(now + session), 's:' .. member)
if ARGV[3] == epoch and state == 'S' and group[1] == group[2] and epoch ~= group[2]
  and (redis.call('HGET', TARGET, member) or '') == assigned then
  write_row(member, group[2], epoch, incarnation, 'S', assigned, '')
  local moved = view(member)
  moved[10] = seq
  return moved
end
return view(member)
