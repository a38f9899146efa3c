-- Counts an attempt as failed, unless it must wait. As count.rs does it.
-- KEYS: the count of the account; that of a network of it, which is there if the network is known.
-- ARGV: the failures that cost nothing; ms of the first wait, of the longest, and until all is
-- forgotten.
-- Gives which key counts; the failures in a row; and the ms to wait, or 0 where the attempt counts.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local free, first, longest, forgotten =
  tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local kind = redis.call('EXISTS', KEYS[2]) + 1
local count = redis.call('HMGET', KEYS[kind], 'failures', 'at')
local failures = tonumber(count[1]) or 0
local since = now - (tonumber(count[2]) or 0)
if since >= forgotten then
  failures = 0
end
if failures >= free then
  local wait = math.min(first * 2 ^ (failures - free), longest)
  -- No longer than that, should the clock have been put back.
  local left = math.min(wait - since, wait)
  if left > 0 then
    return { kind, failures, math.ceil(left) }
  end
end
redis.call('HSET', KEYS[kind], 'failures', failures + 1, 'at', now)
if kind == 1 then
  redis.call('PEXPIRE', KEYS[1], forgotten)
end
return { kind, failures + 1, 0 }
