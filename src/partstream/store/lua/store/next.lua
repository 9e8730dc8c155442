#!lua flags=allow-oom
-- next: give out a number that nobody had before.
--
-- KEYS[1]  counter  string
--
-- Returns  {the number, what `Store.confirm` takes}
--@include includes/replication.lua
return {redis.call('INCR', KEYS[1]), written()}
