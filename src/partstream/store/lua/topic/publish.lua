#!lua flags=allow-oom
-- publish: make a topic known, or replace what is known of it.
--
-- KEYS[1]  topics   hash  name -> JSON
-- KEYS[2]  pending  hash  topic id -> JSON
-- ARGV[1]  name
-- ARGV[2]  topic_id
-- ARGV[3]  json     the new row
-- ARGV[4]  old      the row that it replaces, byte for byte; empty for a new topic
-- ARGV[5]  bell     shard channel
-- ARGV[6]  note     of what was in the making, as it was written: it goes; empty if there is none
--
-- Returns  what `Store.confirm` takes; '' if the row was changed meanwhile (read it again, try again); or an error code:
--          36 TOPIC_ALREADY_EXISTS, 3 UNKNOWN_TOPIC_OR_PARTITION, 7 REQUEST_TIMED_OUT
--@include includes/replication.lua
local row = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[4] == '' then
  if row then return redis.error_reply("KAFKA 36 Topic '" .. ARGV[1] .. "' already exists.") end
  if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[6] then
    return redis.error_reply('KAFKA 7 making topic ' .. ARGV[1] .. ' took too long, it was undone')
  end
elseif not row then
  return redis.error_reply("KAFKA 3 topic '" .. ARGV[1] .. "' does not exist")
elseif row ~= ARGV[4] then
  return ''
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if ARGV[6] ~= '' and redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[6] then
  redis.call('HDEL', KEYS[2], ARGV[2])
end
redis.pcall('SPUBLISH', ARGV[5], '')
return written()
