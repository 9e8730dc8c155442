-- next_epoch: the leader epoch of what this server writes now, and the log's list of epochs if that
-- is a new one. `now` is in milliseconds.
--
-- It is the second in which it begins, since 2020: so it is larger than that of a history which is
-- lost as a whole, of which nothing is known here. An int32 holds it until 2088. Of a clock that is
-- far behind the last epoch nothing can be had: two bytes of the token keep histories apart then.
local function next_epoch(state_key, epoch, known, token, first, now)
  if token == known or token == '' then return epoch, nil end
  local second = math.floor(now / 1000) - 1577836800
  if second > epoch - 60 and second < 2147483648 then
    epoch = math.max(second, epoch + 1)
  else
    epoch = epoch + 1 + tonumber(string.sub(token, 1, 4), 16)
  end
  local history = redis.call('HGET', state_key, 'epochs') .. ' ' .. epoch .. ':' .. first
  if #history > 4000 then history = string.match(string.sub(history, -3000), ' (.+)$') end
  return epoch, history
end
