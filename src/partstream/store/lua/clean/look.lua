#!lua flags=allow-oom
-- look: say what there is to clean, and end the segment being written once it is segment.ms old.
--
-- KEYS[1]  state  hash
-- KEYS[2]  index  zset
-- ARGV[1]  topic_id
-- ARGV[2]  lag    ms; segments with younger records, and all behind them, are left alone
--
-- Returns  {now, start, end, boundary, cleanings, epoch, earliest delete horizon or '', who cleans
--          or '', until when, where the last segment ends that is old enough, bytes of the log up to
--          there} or an error code: 100 UNKNOWN_TOPIC_ID
--
-- An append ends a segment that is old; where nothing is appended any more nobody else does, and
-- what is in it would never be cleaned.
--@include includes/now.lua
local state = redis.call('HMGET', KEYS[1], 'id', 'start', 'end', 'boundary', 'cleanings', 'epoch',
  'horizon', 'cleaner', 'cleaner_until', 'total', 'segment_base', 'segment_max',
  'segment_time', 'segment_ms', 'max_timestamp', 'compact')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
local now = now_ms()
if state[16] == '1' and tonumber(state[10]) > tonumber(state[11])
  and now - tonumber(state[13]) > tonumber(state[14])
then
  redis.call('ZADD', KEYS[2], state[15], string.format('%020.0f:%s:%s', tonumber(state[3]),
    state[10], state[12]))
  redis.call('HSET', KEYS[1], 'segment_base', state[10], 'segment_max', '0', 'segment_time',
    string.format('%.0f', now))
end
-- A row's score is the largest timestamp up to its end, so those that are too young come last.
local lag = tonumber(ARGV[2])
local young = lag > 0
  and redis.call('ZCOUNT', KEYS[2], string.format('(%.0f', now - lag), '+inf') or 0
local rank = string.format('%.0f', -1 - young)
local row = redis.call('ZRANGE', KEYS[2], rank, rank)[1]
local reach, reach_size = string.match(row or '', '^0*(%d+):(%d+):')
return {now, tonumber(state[2]), tonumber(state[3]), tonumber(state[4] or '0'),
  tonumber(state[5] or '0'), tonumber(state[6]), state[7] or '', state[8] or '',
  tonumber(state[9] or '0'), tonumber(reach or state[2]), tonumber(reach_size or '0')}
