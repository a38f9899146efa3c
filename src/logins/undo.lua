-- The attempt was none. KEYS: as for an attempt. ARGV: which of them counted.
local key = KEYS[tonumber(ARGV[1])]
if tonumber(redis.call('HGET', key, 'failures') or 0) > 0 then
  redis.call('HINCRBY', key, 'failures', -1)
end
return {}
