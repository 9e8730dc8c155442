#!lua flags=allow-oom
-- register: say that a gateway lives, and learn which others do.
--
-- KEYS[1]  gateways  hash  node id -> when it was last heard of, ms|instance|host|port|rack|
--                          `name host port` of each listener, with `|` between;
--                          `cluster` -> the cluster's id
-- ARGV[1]  wanted    the node id it had or asks for; -1: any
-- ARGV[2]  instance  a name that no other process has
-- ARGV[3]  address   `host|port`, as clients are told
-- ARGV[4]  rest      `rack|name host port|...`, handed on as it is
-- ARGV[5]  cluster   the cluster's id, if there is none yet
-- ARGV[6]  session   after how long in silence a gateway is dead, ms
-- ARGV[7]  memory    after how long its node id is forgotten, ms
-- ARGV[8]  bell      shard channel, rung if this gateway is new to the others
--
-- Returns  {node id, cluster id, then node id and `host|port|rest` of each that lives}; the node
--          id is -1 if a gateway that lives elsewhere has the one that was asked for
--
-- An address keeps its node id, so that a gateway that restarts is the same broker to its clients,
-- and the processes behind one address are one broker.
--@include includes/now.lua
local now, wanted, address = now_ms(), ARGV[1], ARGV[3]
redis.call('HSETNX', KEYS[1], 'cluster', ARGV[5])
local rows = redis.call('HGETALL', KEYS[1])
local mine, known, live, cluster = nil, {}, {}, nil
for i = 1, #rows, 2 do
  local id, row = rows[i], rows[i + 1]
  if id == 'cluster' then
    cluster = row
  else
    local seen, where, rest = string.match(row, '^(%d+)|[^|]*|([^|]*|%d+)|(.*)$')
    local silent = now - tonumber(seen)
    if where == address and (wanted == '-1' or wanted == id) then mine = id end
    if silent > tonumber(ARGV[7]) then
      redis.call('HDEL', KEYS[1], id)
    else
      known[id] = where
      if silent <= tonumber(ARGV[6]) then live[id] = where .. '|' .. rest end
    end
  end
end
if not mine and wanted ~= '-1' then
  if live[wanted] then return {-1, cluster} end
  mine = wanted
end
if not mine then
  local free = 1
  while known[tostring(free)] do free = free + 1 end
  mine = tostring(free)
end
local row = address .. '|' .. ARGV[4]
local is_news = live[mine] ~= row
live[mine] = row
redis.call('HSET', KEYS[1], mine,
  string.format('%.0f', now) .. '|' .. ARGV[2] .. '|' .. row)
if is_news then redis.pcall('SPUBLISH', ARGV[8], '') end
local answer = {tonumber(mine), cluster}
for id, one in pairs(live) do
  answer[#answer + 1] = tonumber(id)
  answer[#answer + 1] = one
end
return answer
