#!lua flags=allow-oom
-- leave: say that a gateway ends, so that clients are sent elsewhere at once.
--
-- KEYS[1]  gateways  hash  see `register`
-- ARGV[1]  node_id
-- ARGV[2]  instance
-- ARGV[3]  bell     shard channel, rung for the others
-- ARGV[4]  session  after how long in silence a gateway is dead, ms
--
-- Returns  1 if it was there
--
-- Its row stays, as one that was silent for long: the address keeps its node id.
local row = redis.call('HGET', KEYS[1], ARGV[1])
if not row then return 0 end
local seen, instance, rest = string.match(row, '^(%d+)|([^|]*)|(.*)$')
-- Another process behind the same address still serves.
if instance ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1],
  string.format('%.0f', tonumber(seen) - tonumber(ARGV[4]) - 1) .. '|' .. instance .. '|' .. rest)
redis.pcall('SPUBLISH', ARGV[3], '')
return 1
