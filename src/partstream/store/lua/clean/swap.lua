#!lua flags=allow-oom
-- swap: put what was cleaned in the place of what it was made from.
--
-- KEYS[1]   state  hash
-- KEYS[2]   index  zset
-- KEYS[3]   spare  stream  what was cleaned
-- ARGV[1]   topic_id
-- ARGV[2]   cleaner    its token
-- ARGV[3]   lease      ms
-- ARGV[4]   count      entries of `spare`
-- ARGV[5]   start      the log start of which sizes and rows were made
-- ARGV[6]   epoch      the leader epoch when the cleaner began
-- ARGV[7]   cleanings  how often the log had been cleaned when the cleaner began
-- ARGV[8]   boundary   the offset up to which the log is cleaned now
-- ARGV[9]   base       the new `base`: what is below the boundary has shrunk
-- ARGV[10]  horizon    when the first tombstone is to go, ms; '' if there is none
-- ARGV[11]  old        so many members of the index go,
-- ARGV[12…] the members that go, then score and member of those that come or stay
--
-- Returns  1; 0 if the log start has moved (count again); -1 if the cleaner is not the one (any
--          more), or a failover took something back; or an error code: 100 UNKNOWN_TOPIC_ID
--
-- Which of the two streams is in use is said by `cleanings`: the even ones' or the odd ones'. So
-- nothing is renamed, and no key ever goes: a script could not make it again while its slot migrates.
-- The other stream and the log are trimmed later, in steps. All that may refuse comes before the
-- first write. Rows go many in a call: one by one they take three times as long. New ones come before
-- old ones go, so that the index is never without any.
--@include includes/now.lua
local state = redis.call('HMGET', KEYS[1], 'id', 'cleaner', 'start', 'epoch', 'cleanings',
  'boundary')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
if state[2] ~= ARGV[2] then return -1 end
local cleanings = string.format('%.0f', tonumber(ARGV[7]) + 1)
if state[5] == cleanings and state[6] == ARGV[8] then return 1 end
if state[4] ~= ARGV[6] or state[5] ~= ARGV[7] then return -1 end
if redis.call('XLEN', KEYS[3]) ~= tonumber(ARGV[4]) then return -1 end
if state[3] ~= ARGV[5] then return 0 end
local now, first = now_ms(), 12 + tonumber(ARGV[11])
redis.call('XTRIM', KEYS[3], 'MINID', string.format('%.0f', tonumber(ARGV[5]) + 1))
for i = first, #ARGV, 1000 do
  redis.call('ZADD', KEYS[2], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
for i = 12, first - 1, 1000 do
  redis.call('ZREM', KEYS[2], unpack(ARGV, i, math.min(i + 999, first - 1)))
end
redis.call('HSET', KEYS[1], 'boundary', ARGV[8], 'base', ARGV[9], 'cleanings', cleanings,
  'horizon', ARGV[10], 'cleaned_at', string.format('%.0f', now), 'cleaner_until',
  string.format('%.0f', now + tonumber(ARGV[3])))
return 1
