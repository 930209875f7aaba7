-- Assigns a name to a session unless another client has it. Returns the id of the event that granted the name, or
-- nothing. From that event, the node of an earlier connection of the client learns that it has lost the name.
-- KEYS: stream, people, done
-- ARGV: number, kept, node, room, event (that somebody joined), field, nick, session, key
local before = redis.call('HGET', KEYS[2], ARGV[6])
before = before and cjson.decode(before)
if tonumber(ARGV[1]) <= tonumber(redis.call('GET', KEYS[3]) or 0) then
  -- The node repeats the request because the answer was lost. Return the result of the first one.
  local is_here = before and before.node == ARGV[3] and before.session == ARGV[8]
  return is_here and before.by
end
-- Redis stores only a hash of the key.
local key = ARGV[9] ~= '' and redis.sha1hex(ARGV[9]) or ''
local granted = not before or (key ~= '' and before.key == key)
local id = false
if granted then
  id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*',
    'room', ARGV[4], 'event', ARGV[5], 'node', ARGV[3], 'again', before and '1' or '0')
  redis.call('HSET', KEYS[2], ARGV[6], cjson.encode({
    room = ARGV[4], nick = ARGV[7], node = ARGV[3], session = ARGV[8], key = key, by = id }))
end
redis.call('SET', KEYS[3], ARGV[1], 'EX', 86400)
return id
