-- The attempt was none: it had waited, and nobody waits for it. KEYS: as for an attempt. ARGV: which
-- of them counted; ms of the longest wait.
local key = KEYS[tonumber(ARGV[1])]
if tonumber(redis.call('HGET', key, 'failures') or 0) > 0 then
  redis.call('HINCRBY', key, 'failures', -1)
  redis.call('HINCRBY', key, 'at', -tonumber(ARGV[2]))
end
return {}
