#!lua flags=allow-oom
-- barrier: make the small write that WAIT waits for, and say who ought to confirm it.
--
-- KEYS[1]  barrier   string  any value
-- ARGV[1]  max_lag   s       a replica that has been silent for longer is not in sync
--
-- Returns  {master_replid or '', replicas in sync, or -1 where INFO is refused}
--
-- A replica counts as in sync while it is online and has acknowledged something within max_lag.
--@include includes/replication.lua
redis.call('SET', KEYS[1], '1', 'EX', '3600')
local token, connected, info = replication()
if connected < 0 then return {token, -1} end
local in_sync = 0
for line in string.gmatch(info, 'slave%d+:([^\r\n]+)') do
  local lag = tonumber(string.match(line, 'lag=(%d+)') or '')
  if string.find(line, 'state=online', 1, true) and lag and lag <= tonumber(ARGV[1]) then
    in_sync = in_sync + 1
  end
end
return {token, in_sync}
