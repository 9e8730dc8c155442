#!lua flags=allow-oom
-- trim: drop entries of the log that stand, cleaned, in another stream.
--
-- KEYS[1]  log    stream
-- KEYS[2]  state  hash
-- ARGV[1]  topic_id
-- ARGV[2]  offset   entries that end at or below it go, but none above the boundary; '' for the
--                   boundary itself, in steps: call until none goes
-- ARGV[3]  most     entries that go in such a step
-- ARGV[4]  cleaner  the token of the one who cleans, and gets more time by this; '' for another one
-- ARGV[5]  lease    ms
--
-- Returns  how many went, or an error code: 100 UNKNOWN_TOPIC_ID
--
-- The boundary is read here: a failover may have taken the swap back. A step drops whole nodes of the
-- stream as long as there are any, since nobody knows the entries' ends without reading them.
--@include includes/now.lua
local state = redis.call('HMGET', KEYS[2], 'id', 'boundary', 'cleaner')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
if ARGV[4] ~= '' and ARGV[4] == state[3] then
  redis.call('HSET', KEYS[2], 'cleaner_until',
    string.format('%.0f', now_ms() + tonumber(ARGV[5])))
end
local boundary = tonumber(state[2] or '0')
local offset = math.min(tonumber(ARGV[2]) or boundary, boundary)
local least = string.format('%.0f', offset + 1)
local gone = 0
if ARGV[2] == '' then
  gone = redis.call('XTRIM', KEYS[1], 'MINID', '~', least, 'LIMIT', ARGV[3])
end
if gone == 0 then gone = redis.call('XTRIM', KEYS[1], 'MINID', least) end
return gone
