#!lua flags=allow-oom
-- empty: drop entries of the stream that is not in use, so that a cleaner can write to it.
--
-- KEYS[1]  state  hash
-- KEYS[2]  spare  stream
-- ARGV[1]  topic_id
-- ARGV[2]  cleaner    its token; '' for one that has not been heard of for the time of its lease
-- ARGV[3]  cleanings  how often the log was cleaned: it says which stream is in use
-- ARGV[4]  most       entries to drop in this call
-- ARGV[5]  lease      ms; each step gives the cleaner as much anew
--
-- Returns  how many entries are left; -1 if it is not for the caller to do it; or an error code:
--          100 UNKNOWN_TOPIC_ID
--
-- The key stays: while its slot migrates, a script could not make it again.
--@include includes/now.lua
local state = redis.call('HMGET', KEYS[1], 'id', 'cleaner', 'cleaner_until', 'cleanings')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
if state[4] ~= ARGV[3] or not state[2] then return -1 end
if ARGV[2] == '' and tonumber(state[3]) > now_ms() then return -1 end
if ARGV[2] ~= '' and ARGV[2] ~= state[2] then return -1 end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'cleaner_until',
    string.format('%.0f', now_ms() + tonumber(ARGV[5])))
end
local left = math.max(0, redis.call('XLEN', KEYS[2]) - tonumber(ARGV[4]))
redis.call('XTRIM', KEYS[2], 'MAXLEN', string.format('%.0f', left))
if left == 0 then redis.call('XSETID', KEYS[2], '0-1') end
return left
