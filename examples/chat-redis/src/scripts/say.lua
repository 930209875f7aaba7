-- Appends a message to the stream exactly once, even if a node repeats the request because the answer was lost.
-- KEYS: stream, done   ARGV: number, kept, node, room, event
if tonumber(ARGV[1]) <= tonumber(redis.call('GET', KEYS[2]) or 0) then
  return false
end
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*',
  'room', ARGV[4], 'event', ARGV[5], 'node', ARGV[3], 'number', ARGV[1])
redis.call('SET', KEYS[2], ARGV[1], 'EX', 86400)
return id
