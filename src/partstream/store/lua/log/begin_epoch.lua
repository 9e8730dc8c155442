#!lua flags=allow-oom
-- begin_epoch: begin the leader epoch of the history that this server writes, before anything is
--              appended in it.
--
-- KEYS[1]  state  hash
-- ARGV[1]  topic_id
-- ARGV[2]  bell   shard channel, rung if somebody listens
--
-- Returns  the leader epoch, which may have begun before; or an error code: 100 UNKNOWN_TOPIC_ID
--
-- For a reader that stands behind the end: what it has read was taken back, and it can tell by the
-- epoch where the histories part.
--@include includes/epoch.lua
--@include includes/now.lua
--@include includes/replication.lua
local state = redis.call('HMGET', KEYS[1], 'id', 'end', 'epoch', 'token')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
local token = replication()
local epoch, history = next_epoch(KEYS[1], tonumber(state[3]), state[4], token, state[2],
  now_ms())
if history then
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'token', token, 'epochs', history)
  -- Whoever knows the log to be idle believes in the epoch before.
  local listeners = redis.pcall('PUBSUB', 'SHARDNUMSUB', ARGV[2])
  if listeners[2] and listeners[2] > 0 then redis.pcall('SPUBLISH', ARGV[2], '') end
end
return epoch
