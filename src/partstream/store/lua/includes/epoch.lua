-- next_epoch: the leader epoch of what this server writes now, and the log's list of epochs if that
-- is a new one.
--
-- Two bytes of the token keep two primaries that both believe they lead from minting the same epoch.
local function next_epoch(state_key, epoch, known, token, first)
  if token == known or token == '' then return epoch, nil end
  epoch = epoch + 1 + tonumber(string.sub(token, 1, 4), 16)
  local history = redis.call('HGET', state_key, 'epochs') .. ' ' .. epoch .. ':' .. first
  if #history > 4000 then history = string.match(string.sub(history, -3000), ' (.+)$') end
  return epoch, history
end
