-- Takes back an attempt whose password was not checked. The next attempt need not wait.
-- KEYS: those of attempt.lua. ARGV: the number of the key that counted.
local key = KEYS[tonumber(ARGV[1])]
if tonumber(redis.call('HGET', key, 'failures') or 0) > 0 then
  redis.call('HINCRBY', key, 'failures', -1)
  redis.call('HINCRBY', key, 'at', -MAX_WAIT)
end
return {}
