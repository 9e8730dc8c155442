#!lua flags=allow-oom
-- create: make the keys of one partition, or do nothing if they are there.
--
-- KEYS[1]  log           stream
-- KEYS[2]  state         hash
-- KEYS[3]  index         zset
-- KEYS[4]  producers     hash
-- KEYS[5]  transactions  zset
-- ARGV[1]  topic_id
-- ARGV[2]  topic         its name, for whoever looks with redis-cli
-- ARGV[3]  partition
-- ARGV[4…] config fields and values, as in `configure`
--
-- Returns  what `Store.confirm` takes
--
-- Every key that a script will declare exists from here on, if only with a placeholder: while a
-- slot migrates, a script with one absent key gets TRYAGAIN until the migration ends.
--@include includes/replication.lua
local present = redis.call('EXISTS', unpack(KEYS))
if present > 0 then
  if present == #KEYS and redis.call('HGET', KEYS[2], 'id') == ARGV[1] then return written() end
  return redis.error_reply('WRONGTYPE keys beside ' .. KEYS[2] .. ' are not those of a partition')
end
local token = replication()
redis.call('XADD', KEYS[1], '0-1', 'b', '')
redis.call('XDEL', KEYS[1], '0-1')
redis.call('HSET', KEYS[2], 'id', ARGV[1], 'topic', ARGV[2], 'partition', ARGV[3],
  'end', '0', 'start', '0', 'epoch', '0', 'token', token, 'epochs', '0:0',
  'total', '0', 'base', '0', 'segment_base', '0', 'segment_max', '0', 'segment_time', '0',
  'max_timestamp', '-1', unpack(ARGV, 4))
redis.call('ZADD', KEYS[3], '-inf', '00000000000000000000:0:0')
redis.call('HSET', KEYS[4], '', '')
redis.call('ZADD', KEYS[5], '+inf', '')
return written()
