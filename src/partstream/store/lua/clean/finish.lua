#!lua flags=allow-oom
-- finish: leave off cleaning a partition, done or not.
--
-- KEYS[1]  state  hash
-- ARGV[1]  topic_id
-- ARGV[2]  cleaner   its token; '' for one that has not been heard of for the time of its lease
--
-- Returns  1; 0 if there was nothing to do, or it is not for the caller to do it
--@include includes/now.lua
local state = redis.call('HMGET', KEYS[1], 'id', 'cleaner', 'cleaner_until')
if state[1] ~= ARGV[1] or not state[2] then return 0 end
if ARGV[2] == '' and tonumber(state[3]) > now_ms() then return 0 end
if ARGV[2] ~= '' and ARGV[2] ~= state[2] then return 0 end
redis.call('HDEL', KEYS[1], 'cleaner', 'cleaner_until')
return 1
