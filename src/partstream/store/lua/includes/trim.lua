-- trim: drop the oldest segments of a log, and say how many went.
--
-- The index keeps one row below what is held: its end is the log's start, its score -inf, so that
-- no look-up by time finds it. A row is `<end, 20 digits>:<bytes of the log up to it>:<largest>`.

-- stream_in_use: the one of the two that holds the cleaned part; nil if there is no cleaned part.
local function stream_in_use(boundary, log_start, cleanings, even, odd)
  if boundary <= log_start then return nil end
  return tonumber(cleanings) % 2 == 0 and even or odd
end

-- trim_streams: drop what lies below an offset. `clean` is nil where no part of it is held there.
local function trim_streams(log, clean, boundary, offset)
  local least = string.format('%.0f', offset + 1)
  if clean then redis.call('XTRIM', clean, 'MINID', least) end
  if not clean or offset >= boundary then redis.call('XTRIM', log, 'MINID', least) end
end

-- `wanted(row_end, row_bytes, row_timestamp)` says whether the segment that ends there is to go.
local function trim_segments(log, state, index, most, wanted, clean, boundary)
  local rows = redis.call('ZRANGE', index, '0', tostring(most), 'WITHSCORES')
  local gone = 0
  local last
  for i = 3, #rows, 2 do
    local row_end, row_bytes = string.match(rows[i], '^0*(%d+):(%d+):')
    if not wanted(tonumber(row_end), tonumber(row_bytes), tonumber(rows[i + 1])) then break end
    last, gone = i, gone + 1
  end
  if gone == 0 then return 0 end
  local row_end, row_bytes = string.match(rows[last], '^0*(%d+):(%d+):')
  trim_streams(log, clean, boundary, tonumber(row_end))
  -- In this order, for a key that is empty is gone, and while its slot migrates not to be made again.
  redis.call('ZADD', index, '-inf', rows[last])
  local below = {}
  for i = 1, last - 2, 2 do below[#below + 1] = rows[i] end
  redis.call('ZREM', index, unpack(below))
  redis.call('HSET', state, 'start', row_end, 'base', row_bytes)
  return gone
end
