-- trim: drop the oldest segments of a log, and say how many went.
--
-- The index keeps one row below what is held: its end is the log's start, its score -inf, so that
-- no look-up by time finds it. A row is `<end, 20 digits>:<bytes of the log up to it>:<largest>`.
--
-- `wanted(row_end, row_bytes, row_timestamp)` says whether the segment that ends there is to go.
local function trim_segments(log, state, index, most, wanted)
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
  redis.call('XTRIM', log, 'MINID', string.format('%.0f', tonumber(row_end) + 1))
  for i = 1, last, 2 do redis.call('ZREM', index, rows[i]) end
  redis.call('ZADD', index, '-inf', rows[last])
  redis.call('HSET', state, 'start', row_end, 'base', row_bytes)
  return gone
end
