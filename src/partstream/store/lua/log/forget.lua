#!lua flags=allow-oom
-- forget: drop the state of producers that have been silent for too long.
--
-- KEYS[1]  producers  hash
-- ARGV[1]  max_age    ms (producer.id.expiration.ms)
-- ARGV[2]  cursor     0 to begin
--
-- Returns  {next cursor, producers dropped}
--@include includes/now.lua
local oldest = now_ms() - tonumber(ARGV[1])
local page = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', '100')
local gone = 0
for i = 1, #page[2], 2 do
  local row = page[2][i + 1]
  if #row >= 10 then
    local _, used = struct.unpack('>i2i8', row)
    if used < oldest then
      redis.call('HDEL', KEYS[1], page[2][i])
      gone = gone + 1
    end
  end
end
return {page[1], gone}
