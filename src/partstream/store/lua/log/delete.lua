#!lua flags=allow-oom
-- delete: remove the keys of one partition, and wake its readers to find it gone.
--
-- KEYS[1…5]  log, state, index, producers, transactions
-- ARGV[1]    topic_id
-- ARGV[2]    bell  shard channel
--
-- Returns  how many keys went; 0 if the partition was gone
local id = redis.call('HGET', KEYS[2], 'id')
if id and id ~= ARGV[1] then return 0 end
local gone = redis.call('UNLINK', unpack(KEYS))
redis.pcall('SPUBLISH', ARGV[2], '')
return gone
