-- replication: which history this server writes (master_replid), and who follows it.
--
-- '' and -1 where an ACL or a managed service refuses INFO: then a change of history is not noticed,
-- and the docs and `doctor` say so.
local function replication()
  local info = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' then return '', -1, '' end
  return string.match(info, 'master_replid:(%x+)') or '',
    tonumber(string.match(info, 'connected_slaves:(%d+)') or '-1'), info
end

-- written: both in one text, for whoever has to confirm what the script has just written.
local function written()
  local token, replicas = replication()
  return token .. ':' .. replicas
end
