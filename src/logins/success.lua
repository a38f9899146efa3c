-- The attempt was a success: its count begins anew, and the network is known.
-- KEYS: as for an attempt. ARGV: which of them counted; ms for which the network is known.
if ARGV[1] == '1' then
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[2], 'failures', 0, 'at', 0)
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return {}
