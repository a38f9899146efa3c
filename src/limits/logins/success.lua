-- Records that an attempt succeeded: its count is 0 again, and the network is known.
-- KEYS: those of attempt.lua. ARGV: the number of the key that counted.
if ARGV[1] == '1' then
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[2], 'failures', 0, 'at', 0)
redis.call('PEXPIRE', KEYS[2], KNOWN_NETWORK_TTL)
return {}
