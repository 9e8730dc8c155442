-- replication: which history this server writes (master_replid), and who follows it.
--
-- Empty where an ACL or a managed service refuses INFO: then nothing is noticed, and the docs and
-- `doctor` say so.
local function replication()
  local info = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' then return '', 0, '' end
  return string.match(info, 'master_replid:(%x+)') or '',
    tonumber(string.match(info, 'connected_slaves:(%d+)') or '0'), info
end
