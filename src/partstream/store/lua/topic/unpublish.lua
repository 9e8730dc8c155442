#!lua flags=allow-oom
-- unpublish: make a topic unknown, and note that its partitions are to go.
--
-- KEYS[1]  topics   hash  name -> JSON
-- KEYS[2]  pending  hash  topic id -> JSON
-- ARGV[1]  name
-- ARGV[2]  old       the row as it was read
-- ARGV[3]  topic_id
-- ARGV[4]  json      the note
-- ARGV[5]  bell      shard channel
--
-- Returns  what `Store.confirm` takes; '' if the row was changed meanwhile (read it again, try again); or an error code:
--          3 UNKNOWN_TOPIC_OR_PARTITION
--@include includes/replication.lua
local row = redis.call('HGET', KEYS[1], ARGV[1])
if not row then
  return redis.error_reply("KAFKA 3 topic '" .. ARGV[1] .. "' does not exist")
elseif row ~= ARGV[2] then
  return ''
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.pcall('SPUBLISH', ARGV[5], '')
return written()
