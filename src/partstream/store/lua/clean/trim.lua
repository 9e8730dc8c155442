#!lua flags=allow-oom
-- trim: drop entries of the log that stand, cleaned, in another stream.
--
-- KEYS[1]  log    stream
-- KEYS[2]  state  hash
-- ARGV[1]  topic_id
-- ARGV[2]  offset  entries that end at or below it go, but none above the boundary
--
-- Returns  how many went, or an error code: 100 UNKNOWN_TOPIC_ID
--
-- The boundary is read here: a failover may have taken the swap back.
local state = redis.call('HMGET', KEYS[2], 'id', 'boundary')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
local offset = math.min(tonumber(ARGV[2]), tonumber(state[2] or '0'))
return redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', offset + 1))
