-- Releases a name if the session still holds it. A repeated request changes nothing.
-- KEYS: stream, people   ARGV: kept, node, room, event (that somebody left), field, session
local before = redis.call('HGET', KEYS[2], ARGV[5])
before = before and cjson.decode(before)
if not before or before.node ~= ARGV[2] or before.session ~= ARGV[6] then
  return false
end
redis.call('HDEL', KEYS[2], ARGV[5])
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*',
  'room', ARGV[3], 'event', ARGV[4], 'node', ARGV[2])
