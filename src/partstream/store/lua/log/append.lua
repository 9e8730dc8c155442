#!lua
-- append: add one record batch to a partition.
--
-- KEYS[1]  log           stream  <end offset>-<leader epoch> -> b (the batch), t (append time, ms)
-- KEYS[2]  state         hash
-- KEYS[3]  index         zset    one row a segment
-- KEYS[4]  producers     hash    producer id -> epoch, last used, its last five batches
-- KEYS[5]  transactions  zset    declared for what is to come: see ADR 0002
-- ARGV[1]  topic_id
-- ARGV[2]  batch         a RecordBatch v2; who calls has checked its CRC
-- ARGV[3]  bell          shard channel, rung with the entry's id if somebody listens
-- ARGV[4]  line          for a batch with a sequence: `begin`, the producer's first one to this
--                        partition; `go on`, a later one; `any`, the caller can not tell
-- ARGV[5]  least         replicas that must be connected (min.insync.replicas - 1 with acks=all)
-- ARGV[6]  oldest        its smallest timestamp, ms; empty, and the first one stands for it: the
--                        header has no other, and to find it would mean to decode the batch here
--
-- Returns  {base offset, leader epoch, append time or -1, log start, replicas, token, duplicate}
--          or an error code: 100 UNKNOWN_TOPIC_ID, 10 MESSAGE_TOO_LARGE, 32 INVALID_TIMESTAMP,
--          19 NOT_ENOUGH_REPLICAS, 45 OUT_OF_ORDER_SEQUENCE_NUMBER, 47 INVALID_PRODUCER_EPOCH, 59 UNKNOWN_PRODUCER_ID
--
-- All that may refuse comes before XADD: what raises after it is a duplicate in the making.
--@include includes/epoch.lua
--@include includes/now.lua
--@include includes/replication.lua
--@include includes/trim.lua
local batch = ARGV[2]
local state = redis.call('HMGET', KEYS[2], 'id', 'end', 'start', 'epoch', 'token', 'total', 'base',
  'segment_base', 'segment_max', 'segment_time', 'max_timestamp', 'log_append_time', 'after_max',
  'segment_bytes', 'segment_ms', 'retention_bytes', 'max_message_bytes', 'before_max', 'compact',
  'boundary')
if state[1] ~= ARGV[1] then return redis.error_reply('KAFKA 100 the topic was deleted') end
if #batch > tonumber(state[17]) then
  return redis.error_reply('KAFKA 10 a batch of ' .. #batch .. ' bytes is larger than'
    .. ' max.message.bytes = ' .. state[17])
end
local log_end, log_start = tonumber(state[2]), state[3]
local total, segment_base = tonumber(state[6]), tonumber(state[8])
local segment_max, segment_time = tonumber(state[9]), tonumber(state[10])
local max_timestamp, log_append_time = tonumber(state[11]), state[12] == '1'

local now = now_ms()
local _, last_delta, first_timestamp, timestamp, producer, producer_epoch, sequence =
  struct.unpack('>i2i4i8i8i8i2i4', batch, 22)
local oldest = tonumber(ARGV[6]) or first_timestamp
local function misdated(time, config, bound, where)
  local whole = last_delta > 0 and '; none of the ' .. last_delta + 1 .. ' records of its batch is taken'
  return redis.error_reply(string.format('KAFKA 32 timestamp %.0f is more than %s = %s %s the server%s',
    time, config, bound, where, whole or ''))
end
if log_append_time then
  timestamp = now
elseif timestamp > now + tonumber(state[13]) then
  return misdated(timestamp, 'message.timestamp.after.max.ms', state[13], 'ahead of')
elseif oldest >= 0 and oldest < now - tonumber(state[18]) then
  return misdated(oldest, 'message.timestamp.before.max.ms', state[18], 'behind')
end

local token, replicas = replication()
if token ~= '' and replicas < tonumber(ARGV[5]) then
  return redis.error_reply('KAFKA 19 ' .. replicas .. ' replicas are connected, min.insync.replicas'
    .. ' asks for ' .. ARGV[5])
end
local epoch, history = next_epoch(KEYS[2], tonumber(state[4]), state[5], token, state[2], now)

local sequenced = producer >= 0 and sequence >= 0
local producer_row, producer_field = nil, nil
if sequenced then
  producer_field = string.format('%.0f', producer)
  producer_row = redis.call('HGET', KEYS[4], producer_field)
  local expected = 0
  if producer_row then
    local row_epoch = struct.unpack('>i2', producer_row)
    if producer_epoch < row_epoch then
      return redis.error_reply('KAFKA 47 producer ' .. producer_field .. ' has epoch ' .. row_epoch
        .. ' here, the batch has ' .. producer_epoch)
    end
    if producer_epoch == row_epoch then
      for at = 11, #producer_row, 16 do
        local first, last, batch_end = struct.unpack('>i4i4i8', producer_row, at)
        if at == 11 then expected = last == 2147483647 and 0 or last + 1 end
        if first == sequence and (last - first) % 2147483648 == last_delta then
          local time = -1
          if log_append_time then
            local id = string.format('%.0f', batch_end)
            local entry = redis.call('XRANGE', KEYS[1], id, id, 'COUNT', '1')[1]
            time = entry and entry[2][4] and tonumber(entry[2][4]) or -1
          end
          return {batch_end - last_delta - 1, tonumber(state[4]), time, tonumber(log_start),
            replicas, token, 1}
        end
      end
    else
      producer_row = nil
    end
  elseif ARGV[4] == 'go on' then
    return redis.error_reply('KAFKA 59 nothing is known of producer ' .. producer_field)
  elseif ARGV[4] == 'any' then
    expected = sequence
  end
  if sequence ~= expected then
    return redis.error_reply('KAFKA 45 producer ' .. producer_field .. ': sequence ' .. sequence
      .. ', expected ' .. expected)
  end
end

local new_end = log_end + last_delta + 1
if #batch + total - segment_base > tonumber(state[14]) or now - segment_time > tonumber(state[15])
then
  if total > segment_base then
    redis.call('ZADD', KEYS[3], string.format('%.0f', max_timestamp),
      string.format('%020.0f:%.0f:%.0f', log_end, total, segment_max))
    segment_base = total
  end
  segment_max, segment_time = 0, now
end
local id = string.format('%.0f-%.0f', new_end, epoch)
if log_append_time then
  redis.call('XADD', KEYS[1], id, 'b', batch, 't', string.format('%.0f', now))
else
  redis.call('XADD', KEYS[1], id, 'b', batch)
end
total = total + #batch
redis.call('HSET', KEYS[2], 'end', string.format('%.0f', new_end),
  'total', string.format('%.0f', total), 'segment_base', string.format('%.0f', segment_base),
  'segment_max', math.max(segment_max, #batch), 'segment_time', string.format('%.0f', segment_time),
  -- Records without a timestamp age from when they came, as they do where a broker looks at its file.
  'max_timestamp', string.format('%.0f', math.max(max_timestamp, timestamp < 0 and now or timestamp)))
if history then
  redis.call('HSET', KEYS[2], 'epoch', epoch, 'token', token, 'epochs', history)
end
if sequenced then
  local last = (sequence + last_delta) % 2147483648
  redis.call('HSET', KEYS[4], producer_field,
    struct.pack('>i2i8i4i4i8', producer_epoch, now, sequence, last, new_end)
    .. (producer_row and string.sub(producer_row, 11, 74) or ''))
end

local most = tonumber(state[16])
-- Of a log that is compacted only the sweep drops segments: some are in a key that is not declared
-- here, and a cleaner would never be done if the log's start moved with every append.
if most >= 0 and total - tonumber(state[7]) > most and state[19] ~= '1'
  and tonumber(state[20] or '0') <= tonumber(log_start)
then
  -- As Kafka: a segment goes when what is left without it is still retention.bytes.
  local ok, gone = pcall(trim_segments, KEYS[1], KEYS[2], KEYS[3], 2, function(_, row_bytes)
    return total - row_bytes >= most
  end)
  if ok and gone > 0 then log_start = redis.call('HGET', KEYS[2], 'start') end
end
local listeners = redis.pcall('PUBSUB', 'SHARDNUMSUB', ARGV[3])
if listeners[2] and listeners[2] > 0 then redis.pcall('SPUBLISH', ARGV[3], id) end
return {new_end - last_delta - 1, epoch, log_append_time and now or -1, tonumber(log_start),
  replicas, token, 0}
