-- Returns a name to the session that held it unless another one holds it now. A node needs this if Redis has lost its
-- data, or if another node considered it dead. A repeated request changes nothing.
-- KEYS: stream, people   ARGV: kept, node, room, event (that somebody joined), field, nick, session, key
if redis.call('HEXISTS', KEYS[2], ARGV[5]) == 1 then
  return false
end
local key = ARGV[8] ~= '' and redis.sha1hex(ARGV[8]) or ''
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*',
  'room', ARGV[3], 'event', ARGV[4], 'node', ARGV[2], 'again', '0')
redis.call('HSET', KEYS[2], ARGV[5], cjson.encode({
  room = ARGV[3], nick = ARGV[6], node = ARGV[2], session = ARGV[7], key = key, by = id }))
return id
