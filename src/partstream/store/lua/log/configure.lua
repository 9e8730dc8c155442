#!lua flags=allow-oom
-- configure: give a partition its topic's configs.
--
-- KEYS[1]  state    hash
-- ARGV[1]  topic_id
-- ARGV[2]  version  of the topic's metadata; an older one than the partition has is ignored
-- ARGV[3…] fields and values
--
-- Returns  1 if they were taken, 0 if the partition has newer ones, 2 if they were taken and it is
--          to be compacted, but has not the keys for that yet; or an error code:
--          100 UNKNOWN_TOPIC_ID
local state = redis.call('HMGET', KEYS[1], 'id', 'version')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the partition is gone') end
if tonumber(state[2] or '0') > tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], unpack(ARGV, 3))
local compact = redis.call('HMGET', KEYS[1], 'compact', 'boundary')
if compact[1] == '1' and not compact[2] then return 2 end
return 1
