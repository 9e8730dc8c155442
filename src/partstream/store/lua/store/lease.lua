#!lua flags=allow-oom
-- lease: take, keep or give back a right that one client has at a time.
--
-- KEYS[1]  lease  string  its holder, with a time to live
-- ARGV[1]  holder
-- ARGV[2]  ttl    ms; 0 gives it back
--
-- Returns  1 if the holder has it now, else 0
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
