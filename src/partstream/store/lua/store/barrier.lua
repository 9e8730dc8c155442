#!lua flags=allow-oom
-- barrier: make the small write that WAIT waits for, and say who ought to confirm it.
--
-- KEYS[1]  barrier   string  any value
-- ARGV[1]  max_lag   s       a replica that has been silent for longer is not in sync
--
-- Returns  {master_replid or '', replicas in sync, or -1 where INFO is refused}
--
-- A replica counts as in sync while it is online and has acknowledged something within max_lag. So
-- does one that is counted and not listed: its connection is gone, and the server has not noticed.
-- That is so for an instant after it was frozen until another took over. With min-replicas-to-write
-- the server takes no write that it alone has, but what it counts may be a second old: so one
-- replica has to confirm there, however long it has been silent.
--@include includes/replication.lua
redis.call('SET', KEYS[1], '1', 'EX', '3600')
local token, connected, info = replication()
if connected < 0 then return {token, -1} end
local in_sync, listed = 0, 0
for line in string.gmatch(info, 'slave%d+:([^\r\n]+)') do
  listed = listed + 1
  local lag = tonumber(string.match(line, 'lag=(%d+)') or '')
  if string.find(line, 'state=online', 1, true) and lag and lag <= tonumber(ARGV[1]) then
    in_sync = in_sync + 1
  end
end
in_sync = in_sync + math.max(connected - listed, 0)
if string.find(info, 'min_slaves_good_slaves:', 1, true) then in_sync = math.max(in_sync, 1) end
return {token, in_sync}
