#!lua flags=allow-oom
-- publish: make a topic known, or replace what is known of it.
--
-- KEYS[1]  topics   hash  name -> JSON
-- KEYS[2]  pending  hash  topic id -> JSON
-- ARGV[1]  name
-- ARGV[2]  topic_id
-- ARGV[3]  json     the new row
-- ARGV[4]  old      the row that it replaces, byte for byte; empty for a new topic
-- ARGV[5]  bell     shard channel
-- ARGV[6]  note     of what was in the making, as it was written: it goes; empty if there is none
-- ARGV[7]  apart    1: a new topic is refused if it differs from another in `.` and `_` alone
--
-- Returns  what `Store.confirm` takes; '' if the row was changed meanwhile (read it again, try again); or an error code:
--          36 TOPIC_ALREADY_EXISTS, 3 UNKNOWN_TOPIC_OR_PARTITION, 7 REQUEST_TIMED_OUT,
--          17 INVALID_TOPIC_EXCEPTION
--
-- Who makes a topic has looked for such another one before, but two may do so at the same moment.
--@include includes/replication.lua
local function collides(name)
  local alike, places = string.gsub(name, '[._]', '[._]')
  local cursor = '0'
  while places > 0 do
    local found = redis.call('HSCAN', KEYS[1], cursor, 'MATCH', alike, 'COUNT', '1000')
    if found[2][1] then return found[2][1] end
    cursor = found[1]
    if cursor == '0' then return nil end
  end
end

local row = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[4] == '' then
  if row then return redis.error_reply("KAFKA 36 Topic '" .. ARGV[1] .. "' already exists.") end
  if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[6] then
    return redis.error_reply('KAFKA 7 making topic ' .. ARGV[1] .. ' took too long, it was undone')
  end
  local other = ARGV[7] == '1' and collides(ARGV[1])
  if other then
    return redis.error_reply("KAFKA 17 Topic '" .. ARGV[1] .. "' collides with existing topic: "
      .. other)
  end
elseif not row then
  return redis.error_reply("KAFKA 3 topic '" .. ARGV[1] .. "' does not exist")
elseif row ~= ARGV[4] then
  return ''
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if ARGV[6] ~= '' and redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[6] then
  redis.call('HDEL', KEYS[2], ARGV[2])
end
redis.pcall('SPUBLISH', ARGV[5], '')
return written()
