#!lua flags=allow-oom
-- truncate: delete the records below an offset (DeleteRecords, KIP-107), so many in a call.
--
-- KEYS[1]  log    stream
-- KEYS[2]  state  hash
-- KEYS[3]  index  zset
-- KEYS[4…5]  clean  streams  one of them the cleaned part; only if there is one
-- ARGV[1]  topic_id
-- ARGV[2]  offset     the new log start; -1: the log's end
-- ARGV[3]  most       segments that go whole in this call
-- ARGV[4]  most_bytes  of these segments, unless the first is larger
-- ARGV[5]  counted    bytes between the log start and the offset, in batches that go whole; '' as long
--                     as nobody has asked for them
-- ARGV[6]  start      the log start when they were counted
-- ARGV[7]  cleanings  how often the log had been cleaned then
--
-- Returns  {log start, what `Store.confirm` takes}; or what is to be done before the next call:
--          {-1, offset}: nothing, but more segments are to go; {-2}: declare `clean`;
--          {-3, log start, cleanings, 1 if the cleaned part has the log start, largest entry there}:
--          count the bytes; or an error code: 100 UNKNOWN_TOPIC_ID, 1 OFFSET_OUT_OF_RANGE
--
-- The log start moves with each call. A batch that holds the offset stays: readers skip what is below
-- the log start.
--@include includes/replication.lua
--@include includes/trim.lua
local state = redis.call('HMGET', KEYS[2], 'id', 'end', 'start', 'total', 'boundary', 'cleanings',
  'base', 'segment_max', 'topic', 'partition')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
local log_end = tonumber(state[2])
local offset = ARGV[2] == '-1' and log_end or tonumber(ARGV[2])
if offset < 0 or offset > log_end then
  return redis.error_reply(string.format('KAFKA 1 offset %s of %s-%s is not between 0 and its end %s',
    ARGV[2], state[9], state[10], state[2]))
end
if offset <= tonumber(state[3]) then return {tonumber(state[3]), written()} end
local boundary, cleanings = tonumber(state[5] or '0'), state[6] or '0'
if boundary > tonumber(state[3]) and not KEYS[4] then return {-2} end
local clean = stream_in_use(boundary, tonumber(state[3]), cleanings, KEYS[4], KEYS[5])

local most_bytes, first = tonumber(state[7]) + tonumber(ARGV[4]), true
trim_segments(KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[3]), function(row_end, row_bytes)
  local goes = row_end <= offset and (first or row_bytes <= most_bytes)
  first = false
  return goes
end, clean, boundary)
local rows = redis.call('ZRANGE', KEYS[3], '0', '1')
local row_end, largest = string.match(rows[2] or '', '^0*(%d+):%d+:(%d+)')
if row_end and tonumber(row_end) <= offset then return {-1, offset} end

-- What is left to cut is within one segment.
local held = redis.call('HMGET', KEYS[2], 'start', 'base')
local bytes = tonumber(held[2])
if offset == log_end then
  bytes = tonumber(state[4])
  redis.call('HSET', KEYS[2], 'segment_base', state[4], 'segment_max', '0', 'segment_time', '0',
    'max_timestamp', '-1')
elseif offset > tonumber(held[1]) then
  if ARGV[5] == '' or ARGV[6] ~= held[1] or ARGV[7] ~= cleanings then
    return {-3, tonumber(held[1]), tonumber(cleanings), tonumber(held[1]) < boundary and 1 or 0,
      tonumber(largest or state[8])}
  end
  bytes = bytes + tonumber(ARGV[5])
end
trim_streams(KEYS[1], clean, boundary, offset)
-- First the new row: a key that is empty is gone, and while its slot migrates not to be made again.
local lowest = string.format('%020.0f:%.0f:0', offset, bytes)
redis.call('ZADD', KEYS[3], '-inf', lowest)
if rows[1] ~= lowest then redis.call('ZREM', KEYS[3], rows[1]) end
redis.call('HSET', KEYS[2], 'start', string.format('%.0f', offset),
  'base', string.format('%.0f', bytes))
return {offset, written()}
