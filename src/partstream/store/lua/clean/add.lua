#!lua
-- add: add batches to what is to become the cleaned part.
--
-- KEYS[1]  state  hash
-- KEYS[2]  spare  stream
-- ARGV[1]  topic_id
-- ARGV[2]  cleaner   its token
-- ARGV[3]  lease     ms
-- ARGV[4]  count     how many entries there are already, as far as the cleaner knows
-- ARGV[5…] id, batch and append time ('' without one) of each
--
-- Returns  how many entries there are now; -1 if the cleaner is not the one (any more), or a
--          failover took entries back; or an error code: 100 UNKNOWN_TOPIC_ID
--
-- Replicas have a beginning of what their primary wrote. So if the entries are all there, all is
-- there that was written before them.
--@include includes/now.lua
local state = redis.call('HMGET', KEYS[1], 'id', 'cleaner')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
if state[2] ~= ARGV[2] then return -1 end
local known, there = tonumber(ARGV[4]), redis.call('XLEN', KEYS[2])
local new = (#ARGV - 4) / 3
if there == known + new then
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', '1')
  -- They were added before, and the answer was lost.
  if last[1] and last[1][1] == ARGV[#ARGV - 2] then return there end
end
if there ~= known then return -1 end
for i = 5, #ARGV, 3 do
  if ARGV[i + 2] == '' then
    redis.call('XADD', KEYS[2], ARGV[i], 'b', ARGV[i + 1])
  else
    redis.call('XADD', KEYS[2], ARGV[i], 'b', ARGV[i + 1], 't', ARGV[i + 2])
  end
end
redis.call('HSET', KEYS[1], 'cleaner_until', string.format('%.0f', now_ms() + tonumber(ARGV[3])))
return there + new
