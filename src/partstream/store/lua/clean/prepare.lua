#!lua flags=allow-oom
-- prepare: make the keys that a compacted partition has beside the others, if they are not there.
--
-- KEYS[1]    state         hash
-- KEYS[2…3]  clean, spare  streams
-- ARGV[1]    topic_id
--
-- Returns  1, or an error code: 100 UNKNOWN_TOPIC_ID
--
-- They stay for as long as the partition does: while a slot migrates, a script with one absent key
-- gets TRYAGAIN until the migration ends.
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  return redis.error_reply('KAFKA 100 the topic was deleted')
end
for i = 2, 3 do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    redis.call('XADD', KEYS[i], '0-1', 'b', '')
    redis.call('XDEL', KEYS[i], '0-1')
  end
end
if redis.call('HSETNX', KEYS[1], 'boundary', '0') == 1 then
  redis.call('HSET', KEYS[1], 'cleanings', '0')
end
return 1
