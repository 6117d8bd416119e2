"""What a Redis server does in one step, in its own language: scripts for EVAL.

Sent whole each time: the server keeps the compiled script, and one that was restarted needs no second try.
"""

from __future__ import annotations

# Sorted sets and hashes by name within the scope; the hash has the sum of the results' sizes under "". Where the sorted
# set was evicted the sum begins anew, with what is written from then on.
INDEX = """
local sizes, order, name, size = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local rank = redis.call('ZSCORE', order, name)
local old = rank and redis.call('HGET', sizes, name) or 0
if redis.call('EXISTS', order) == 0 then redis.call('HDEL', sizes, '') end
redis.call('HSET', sizes, name, size)
redis.call('SADD', KEYS[3], ARGV[3])
if ARGV[4] == '1' then
  redis.call('HINCRBY', sizes, '', string.format('%.0f', size - old))
  if not rank or tonumber(rank) < tonumber(ARGV[5]) then
    local now = redis.call('TIME')
    redis.call('ZADD', order, string.format('%.0f', now[1] * 1000000 + now[2] - 9007199254740992), name)
  end
end
"""

# ARGV: what comes before a name in the key of its entry, then pairs: name, and how its entry must begin ("": whatever)
REMOVE = """
local sizes, order, removed = KEYS[1], KEYS[2], 0
for i = 2, #ARGV, 2 do
  local name, key, start = ARGV[i], ARGV[1] .. ARGV[i], ARGV[i + 1]
  if start == '' or redis.call('GETRANGE', key, 0, #start - 1) == start then
    removed = removed + redis.call('DEL', key)
    local size = redis.call('HGET', sizes, name)
    redis.call('HDEL', sizes, name)
    if redis.call('ZREM', order, name) == 1 and size then redis.call('HINCRBY', sizes, '', '-' .. size) end
  end
end
if redis.call('EXISTS', order) == 0 then redis.call('HDEL', sizes, '') end
return removed
"""

# ARGV: 1 for another word than the last one, 0 for the one that is there
WORD = """
local old, now = redis.call('GET', KEYS[1]), redis.call('TIME')
if old and ARGV[1] == '0' then return old end
local word = string.format('%.0f', math.max((old or 0) + 1, now[1] * 1000000 + now[2]))
redis.call('SET', KEYS[1], word)
return word
"""

TAKE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
"""
RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end"
FREE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"
