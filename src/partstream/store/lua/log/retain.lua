#!lua flags=allow-oom
-- retain: drop segments that are too old, or more than retention.bytes allows.
--
-- KEYS[1]  log    stream
-- KEYS[2]  state  hash
-- KEYS[3]  index  zset
-- KEYS[4…5]  clean  streams  one of them the cleaned part; only if there may be one
-- ARGV[1]  topic_id
-- ARGV[2]  most   segments to drop in this call, so that it stays short
--
-- Returns  {segments dropped, log start}; -1 segments: there is a cleaned part, or a cleaner at work,
--          so `clean` has to be declared; or an error code: 100 UNKNOWN_TOPIC_ID
--
-- The segment being written goes too once its latest record is too old, as in Kafka, or if nothing
-- is to be kept at all. Once a log is empty, the timestamps that it held count no more.
--@include includes/now.lua
--@include includes/trim.lua
local state = redis.call('HMGET', KEYS[2], 'id', 'end', 'total', 'segment_base', 'segment_max',
  'max_timestamp', 'retention_ms', 'retention_bytes', 'boundary', 'start',
  'cleaner', 'cleanings')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
local boundary = tonumber(state[9] or '0')
if (boundary > tonumber(state[10]) or state[11]) and not KEYS[4] then
  return {-1, tonumber(state[10])}
end
local clean = stream_in_use(boundary, tonumber(state[10]), state[12], KEYS[4], KEYS[5])
local now, total = now_ms(), tonumber(state[3])
local retention_ms, retention_bytes = tonumber(state[7]), tonumber(state[8])
local latest = tonumber(state[6])
local oldest = retention_ms >= 0 and now - retention_ms or -math.huge
if total > tonumber(state[4]) and (latest >= 0 and latest < oldest or retention_bytes == 0) then
  redis.call('ZADD', KEYS[3], string.format('%.0f', latest),
    string.format('%020.0f:%.0f:%.0f', tonumber(state[2]), total, tonumber(state[5])))
  redis.call('HSET', KEYS[2], 'segment_base', string.format('%.0f', total), 'segment_max', '0',
    'segment_time', string.format('%.0f', now))
end
local gone = trim_segments(KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[2]),
  function(_, row_bytes, row_timestamp)
    return row_timestamp < oldest
      or (retention_bytes >= 0 and total - row_bytes >= retention_bytes)
  end, clean, boundary)
local start = redis.call('HGET', KEYS[2], 'start')
if gone > 0 and start == state[2] then redis.call('HSET', KEYS[2], 'max_timestamp', '-1') end
return {gone, tonumber(start)}
