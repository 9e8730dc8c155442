#!lua flags=allow-oom
-- begin: become the one who cleans a partition.
--
-- KEYS[1]  state  hash
-- ARGV[1]  topic_id
-- ARGV[2]  cleaner    a token of this one cleaning
-- ARGV[3]  lease      ms; every step gives the cleaner as much anew
-- ARGV[4]  cleanings  how often the log had been cleaned when the cleaner looked
--
-- Returns  1, or 0 if another one is at it, or was meanwhile; or an error code: 100 UNKNOWN_TOPIC_ID
--@include includes/now.lua
local state = redis.call('HMGET', KEYS[1], 'id', 'cleaner', 'cleaner_until', 'cleanings')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
local now = now_ms()
if state[2] and state[2] ~= ARGV[2] and tonumber(state[3]) > now then return 0 end
if state[4] ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[1], 'cleaner', ARGV[2], 'cleaner_until',
  string.format('%.0f', now + tonumber(ARGV[3])))
return 1
