#!lua flags=allow-oom
-- finish: leave off cleaning a partition, done or not, unless there is something to clear away yet.
--
-- KEYS[1]    state  hash
-- KEYS[2]    log    stream
-- KEYS[3…4]  clean  streams  one of them the cleaned part, the other one spare
-- ARGV[1]    topic_id
-- ARGV[2]    cleaner   its token; '' for one that has not been heard of for the time of its lease
--
-- Returns  {1, how often the log was cleaned}; 0 as the first if there was nothing to do, or it is
--          not for the caller to do it; -1 if entries are left that the cleaned part stands for, or
--          the spare stream is not empty: nothing was done then
--
-- A failover may have taken back steps that were answered, the swap among them. It leaves a beginning
-- of what was written: so where the token is gone, nothing of what went before it comes back.
--@include includes/now.lua
local state = redis.call('HMGET', KEYS[1], 'id', 'cleaner', 'cleaner_until', 'boundary', 'cleanings')
local cleanings = tonumber(state[5] or '0')
if state[1] ~= ARGV[1] or not state[2] then return {0, cleanings} end
if ARGV[2] == '' and tonumber(state[3]) > now_ms() then return {0, cleanings} end
if ARGV[2] ~= '' and ARGV[2] ~= state[2] then return {0, cleanings} end
local spare = cleanings % 2 == 0 and KEYS[4] or KEYS[3]
local replaced = redis.call('XRANGE', KEYS[2], '-', state[4] or '0', 'COUNT', '1')
if replaced[1] or redis.call('XLEN', spare) > 0 then return {-1, cleanings} end
redis.call('HDEL', KEYS[1], 'cleaner', 'cleaner_until')
return {1, cleanings}
