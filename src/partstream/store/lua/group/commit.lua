#!lua flags=allow-oom
-- commit: write the offsets that a group has processed up to.
--
-- KEYS, ARGV[1]  as in includes/group.lua
-- ARGV[2]  member       empty for somebody outside, who may commit while there are no members
-- ARGV[3]  member_epoch  of a classic group: the generation
-- ARGV[4]  incarnation  20 digits, or empty if the caller does not know it
-- ARGV[5]  order        grows with each commit of an incarnation
-- ARGV[6]  group_id
-- ARGV[7]  create       1 if the group may be made; it must be in the list of groups before
-- ARGV[8]  instance     of a classic group's static member, as in its row; else empty
-- ARGV[9..]             triples: partition, `offset|leader epoch`, metadata
--
-- Returns  {made, token of this history}, or an error code: 25 UNKNOWN_MEMBER_ID,
--          27 REBALANCE_IN_PROGRESS (another member has the partition), 69 GROUP_ID_NOT_FOUND
--          (without `create`), 110 FENCED_MEMBER_EPOCH, 113 STALE_MEMBER_EPOCH (22
--          ILLEGAL_GENERATION for members that speak the classic protocol); of a classic group
--          22 ILLEGAL_GENERATION: the committer is not what it believes, whatever that is
--
-- All or nothing. A commit that arrives late, behind a later one of the same incarnation, is
-- passed over: an offset must not go back because an answer was lost.
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/group.lua
local member, incarnation = ARGV[2], ARGV[4]
local made = 0

local classic = is_classic() and members() > 0
local epochless = tonumber(ARGV[3]) < 0
if classic and (member ~= '' or ARGV[8] ~= '' or not epochless) then
  local group = redis.call('HMGET', GROUP, 'phase', 'generation')
  local row = member ~= '' and redis.call('HGET', CURRENT, member)
  if not row or group[2] ~= ARGV[3] or group[1] == 'CompletingRebalance'
    or (ARGV[8] ~= '' and string.match(row, '\n([^\n]*)\n') ~= ARGV[8]) then
    return refuse(22, 'the generation is ' .. group[2] .. ', and the phase ' .. group[1])
  end
  if redis.call('ZSCORE', DEADLINES, 's:' .. member) then
    local session = tonumber(string.match(row, '^%d+'))
    redis.call('ZADD', DEADLINES, text(now + session), 's:' .. member)
  end
elseif epochless and (member == '' or members() == 0) then
  if not exists() then
    if ARGV[7] ~= '1' then return refuse(69, 'group ' .. ARGV[6] .. ' does not exist') end
    create('classic', ARGV[6])
    made = 1
  end
  expire(1000)
  if members() > 0 then return refuse(25, 'group ' .. ARGV[6] .. ' has members: they commit') end
else
  local score = redis.call('ZSCORE', DEADLINES, 's:' .. member)
  if score and tonumber(score) <= now then
    expire(8)
    score = redis.call('ZSCORE', DEADLINES, 's:' .. member)
    if score and tonumber(score) <= now then
      remove(member)
      raise_epoch()
    end
  end
  local row = member ~= '' and redis.call('HGET', CURRENT, member)
  if not row then
    return refuse(25, 'member ' .. member .. ' is not in the group: its session has ended')
  end
  local epoch, previous, _, joined = parse(row)
  if epoch == '-2' or (incarnation ~= '' and incarnation ~= joined) then
    return refuse(110, 'member ' .. member .. ' has left, or joined again since')
  end
  if ARGV[3] ~= epoch and (incarnation == '' or ARGV[3] ~= previous) then
    -- To a member that speaks the classic protocol its epoch is a generation.
    local code = redis.call('HEXISTS', GROUP, 'c:' .. member) == 1 and 22 or 113
    return refuse(code, 'member ' .. member .. ' is at epoch ' .. epoch .. ', not ' .. ARGV[3])
  end
  for i = 9, #ARGV, 3 do
    local owner = redis.call('HGET', OWNER, ARGV[i])
    if owner and owner ~= member then
      return refuse(27, 'partition ' .. ARGV[i] .. ' belongs to another member now')
    end
  end
end

-- Who commits, and which of its commits it is; a member id may hold any letter, so not as it is.
local author = incarnation == '' and '' or redis.sha1hex(member .. ' ' .. incarnation)
local stamp = author .. ':' .. ARGV[5]
for i = 9, #ARGV, 3 do
  local overtaken = false
  if author ~= '' then
    local last = redis.call('HGET', OFFSETS, ARGV[i]) or ''
    local who, order = string.match(last, '^[^|]*|[^|]*|[^|]*|(%x*):(%d+)|')
    overtaken = who == author and tonumber(order) > tonumber(ARGV[5])
  end
  if not overtaken then
    redis.call('HSET', OFFSETS, ARGV[i],
      ARGV[i + 1] .. '|' .. text(now) .. '|' .. stamp .. '|' .. ARGV[i + 2])
  end
end
return {made, written()}
