#!lua flags=allow-oom
-- probe: do once what the other scripts do, and say which commands are refused.
--
-- KEYS[1]  probe  a key of no other use; it is gone afterwards
--
-- Returns  command, what the server said, command, ...; empty if all are allowed
local refused = {}
local function try(name, ...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    refused[#refused + 1] = name
    refused[#refused + 1] = answer.err
  end
end
local key = KEYS[1]
try('UNLINK', 'UNLINK', key)
try('TIME', 'TIME')
try('INFO', 'INFO', 'replication')
try('SET', 'SET', key, '', 'PX', '1000')
try('GET', 'GET', key)
try('UNLINK', 'UNLINK', key)
try('HSET', 'HSET', key, 'a', 'b')
try('HMGET', 'HMGET', key, 'a')
try('HSCAN', 'HSCAN', key, '0')
try('UNLINK', 'UNLINK', key)
try('ZADD', 'ZADD', key, '1', 'a')
try('ZRANGE', 'ZRANGE', key, '0', '-1')
try('UNLINK', 'UNLINK', key)
try('XADD', 'XADD', key, '1-1', 'a', 'b')
try('XRANGE', 'XRANGE', key, '-', '+', 'COUNT', '1')
try('XREVRANGE', 'XREVRANGE', key, '+', '-', 'COUNT', '1')
try('XLEN', 'XLEN', key)
if redis.pcall('XLEN', key) == 1 then try('XSETID', 'XSETID', key, '2-0') end
try('XDEL', 'XDEL', key, '1-1')
try('XTRIM', 'XTRIM', key, 'MINID', '2')
try('UNLINK', 'UNLINK', key)
try('PUBSUB SHARDNUMSUB', 'PUBSUB', 'SHARDNUMSUB', key)
try('SPUBLISH', 'SPUBLISH', key, '')
return refused
