-- Counts a login attempt as failed, unless the attempt must wait. The rule is that of failure_count.rs.
-- KEYS: the count of the account; the count of a network of the account, which exists if the network is known.
-- Returns the number of the key that counts, its failures in a row, and the ms to wait; 0 if the attempt counts.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local scope = redis.call('EXISTS', KEYS[2]) + 1
local count = redis.call('HMGET', KEYS[scope], 'failures', 'at')
local failures = tonumber(count[1]) or 0
local since = now - (tonumber(count[2]) or 0)
if since >= FAILURES_EXPIRE_AFTER then
  failures = 0
end
if failures >= FREE_ATTEMPTS then
  local wait = math.min(FIRST_WAIT * 2 ^ (failures - FREE_ATTEMPTS), MAX_WAIT)
  -- The clock may have been set back. The wait is never longer than the rule states.
  local left = math.min(wait - since, wait)
  if left > 0 then
    return { scope, failures, math.ceil(left) }
  end
end
redis.call('HSET', KEYS[scope], 'failures', failures + 1, 'at', now)
if scope == 1 then
  redis.call('PEXPIRE', KEYS[1], FAILURES_EXPIRE_AFTER)
end
return { scope, failures + 1, 0 }
