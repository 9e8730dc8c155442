#!lua flags=allow-oom
-- truncate: delete the records below an offset (DeleteRecords, KIP-107).
--
-- KEYS[1]  log    stream
-- KEYS[2]  state  hash
-- KEYS[3]  index  zset
-- KEYS[4…5]  clean  streams  one of them the cleaned part; only if there is one
-- ARGV[1]  topic_id
-- ARGV[2]  offset  the new log start; -1: the log's end
-- ARGV[3]  bytes   of the log up to the last batch that goes whole
-- ARGV[4]  start      the log start when these bytes were counted
-- ARGV[5]  cleanings  how often the log had been cleaned then
--
-- Returns  {log start, what `Store.confirm` takes}; the log start is -1 if it has moved, or the log
--          was cleaned, since the bytes were counted (count again); or an error code: 100 UNKNOWN_TOPIC_ID,
--          1 OFFSET_OUT_OF_RANGE
--
-- A batch that holds the offset stays: readers skip what is below the log start.
--@include includes/replication.lua
--@include includes/trim.lua
local state = redis.call('HMGET', KEYS[2], 'id', 'end', 'start', 'total', 'boundary', 'cleanings')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
local log_end = tonumber(state[2])
local offset = ARGV[2] == '-1' and log_end or tonumber(ARGV[2])
if offset < 0 or offset > log_end then
  return redis.error_reply('KAFKA 1 offset ' .. ARGV[2] .. ' is not between 0 and ' .. state[2])
end
if offset <= tonumber(state[3]) then return {tonumber(state[3]), written()} end
if offset < log_end and (state[3] ~= ARGV[4] or (state[6] or '0') ~= ARGV[5]) then
  return {-1, ''}
end
local boundary = tonumber(state[5] or '0')
if boundary > tonumber(state[3]) and not KEYS[4] then return {-1, ''} end
local clean = stream_in_use(boundary, tonumber(state[3]), state[6], KEYS[4], KEYS[5])
trim_streams(KEYS[1], clean, boundary, offset)
local bytes = tonumber(ARGV[3])
if offset == log_end then
  bytes = tonumber(state[4])
  redis.call('HSET', KEYS[2], 'segment_base', state[4], 'segment_max', '0', 'segment_time', '0',
    'max_timestamp', '-1')
end
-- First the new row: a key that is empty is gone, and while its slot migrates not to be made again.
local lowest = string.format('%020.0f:%.0f:0', offset, bytes)
redis.call('ZADD', KEYS[3], '-inf', lowest)
local rows = redis.call('ZRANGE', KEYS[3], '0', '-1')
for _, row in ipairs(rows) do
  local row_end = string.match(row, '^0*(%d+):')
  if tonumber(row_end) > offset then break end
  if row ~= lowest then redis.call('ZREM', KEYS[3], row) end
end
redis.call('HSET', KEYS[2], 'start', string.format('%.0f', offset),
  'base', string.format('%.0f', bytes))
return {offset, written()}
