#!lua flags=allow-oom
-- abandon: turn the note of a topic that is in the making into one of a topic that is to go.
--
-- KEYS[1]  pending  hash  topic id -> JSON
-- ARGV[1]  topic_id
-- ARGV[2]  old       the note as it was read
-- ARGV[3]  new
--
-- Returns  1; 0 if the note has changed: the topic was published meanwhile
--
-- From here on `publish` refuses the topic, so its partitions may be deleted.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
