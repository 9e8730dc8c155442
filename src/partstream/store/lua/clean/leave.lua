#!lua flags=allow-oom
-- leave: stop being the one who cleans a partition; what there is to clear away is the next one's.
--
-- KEYS[1]  state  hash
-- ARGV[1]  topic_id
-- ARGV[2]  cleaner  its token
--
-- Returns  1; 0 if it is not the caller who cleans it
--
-- The token stays, without time: so the next one knows that something was left.
local state = redis.call('HMGET', KEYS[1], 'id', 'cleaner')
if state[1] ~= ARGV[1] or state[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'cleaner_until', '0')
return 1
