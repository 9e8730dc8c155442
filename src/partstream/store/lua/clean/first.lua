#!lua flags=allow-oom
-- first: say how old segments are by their first batches, which nothing else keeps.
--
-- KEYS[1]  state  hash
-- KEYS[2]  index  zset
-- KEYS[3]  log    stream
-- ARGV[1]  topic_id
-- ARGV[2]  rank   in the index: of the row that the first of these segments follows
-- ARGV[3]  most   segments to look at in this call
-- ARGV[4]  bytes  after so many of their first batches the call ends early
-- ARGV[5]  begin  where the part begins that was never cleaned: only there the log holds them
--
-- Returns  {how many segments were looked at, the least timestamp that is positive, or 0} or an
--          error code: 100 UNKNOWN_TOPIC_ID
--
-- As in Kafka it is the largest timestamp of the first batch that counts. The segment being written
-- has no row yet, so it is never among them.
local state = redis.call('HMGET', KEYS[1], 'id')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
local rank, begin = tonumber(ARGV[2]), tonumber(ARGV[5])
local rows = redis.call('ZRANGE', KEYS[2], ARGV[2], string.format('%.0f', rank + tonumber(ARGV[3])))
local seen, bytes, least = 0, 0, 0
for i = 1, #rows - 1 do
  if bytes >= tonumber(ARGV[4]) then break end
  local row_end = tonumber(string.match(rows[i], '^0*(%d+):'))
  if row_end >= begin then
    local entry = redis.call('XRANGE', KEYS[3], string.format('%.0f', row_end + 1), '+', 'COUNT',
      '1')[1]
    local batch = entry and entry[2][2] or ''
    bytes = bytes + #batch
    if #batch >= 61 then
      local timestamp = tonumber(entry[2][4]) or struct.unpack('>i8', batch, 36)
      if timestamp > 0 and (least == 0 or timestamp < least) then least = timestamp end
    end
  end
  seen = seen + 1
end
return {seen, least}
