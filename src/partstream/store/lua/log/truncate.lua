#!lua flags=allow-oom
-- truncate: delete the records below an offset (DeleteRecords, KIP-107).
--
-- KEYS[1]  log    stream
-- KEYS[2]  state  hash
-- KEYS[3]  index  zset
-- ARGV[1]  topic_id
-- ARGV[2]  offset  the new log start; -1: the log's end
-- ARGV[3]  bytes   of the log up to the last batch that goes whole
-- ARGV[4]  start   the log start when these bytes were counted
--
-- Returns  {log start, what `Store.confirm` takes}; the log start is -1 if it has moved since the
--          bytes were counted (count again); or an error code: 100 UNKNOWN_TOPIC_ID,
--          1 OFFSET_OUT_OF_RANGE
--
-- A batch that holds the offset stays: readers skip what is below the log start.
--@include includes/replication.lua
local state = redis.call('HMGET', KEYS[2], 'id', 'end', 'start', 'total')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
local log_end = tonumber(state[2])
local offset = ARGV[2] == '-1' and log_end or tonumber(ARGV[2])
if offset < 0 or offset > log_end then
  return redis.error_reply('KAFKA 1 offset ' .. ARGV[2] .. ' is not between 0 and ' .. state[2])
end
if offset <= tonumber(state[3]) then return {tonumber(state[3]), written()} end
if offset < log_end and state[3] ~= ARGV[4] then return {-1, ''} end
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', offset + 1))
local bytes = tonumber(ARGV[3])
if offset == log_end then
  bytes = tonumber(state[4])
  redis.call('HSET', KEYS[2], 'segment_base', state[4], 'segment_max', '0', 'segment_time', '0',
    'max_timestamp', '-1')
end
local rows = redis.call('ZRANGE', KEYS[3], '0', '-1')
for _, row in ipairs(rows) do
  local row_end = string.match(row, '^0*(%d+):')
  if tonumber(row_end) > offset then break end
  redis.call('ZREM', KEYS[3], row)
end
redis.call('ZADD', KEYS[3], '-inf', string.format('%020.0f:%.0f:0', offset, bytes))
redis.call('HSET', KEYS[2], 'start', string.format('%.0f', offset),
  'base', string.format('%.0f', bytes))
return {offset, written()}
