-- Renews a node's lease, lets those leave whose node is dead, and tells who is where as of which event. As a
-- script runs alone, one node alone finds each of the dead.
-- KEYS: stream, people, nodes   ARGV: kept, node, lease in ms, whether to bury the dead
-- Gives: the last event's id; the first one's, if there were others before it, or ''; for each person room,
-- nick, node, session.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Numbers of this size would be written with an exponent.
local digits = function(number) return string.format('%.0f', number) end
redis.call('ZADD', KEYS[3], digits(now + ARGV[3]), ARGV[2])

local alive = {}
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], digits(now), '+inf')) do
  alive[node] = true
end
local people = {}
local entries = redis.call('HGETALL', KEYS[2])
for i = 1, #entries, 2 do
  local person = cjson.decode(entries[i + 1])
  if alive[person.node] or ARGV[4] ~= '1' then
    for _, what in ipairs({ 'room', 'nick', 'node', 'session' }) do
      people[#people + 1] = person[what]
    end
  else
    redis.call('HDEL', KEYS[2], entries[i])
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'room', person.room,
      'event', cjson.encode({ what = 'left', nick = person.nick }), 'node', ARGV[2])
  end
end
if ARGV[4] == '1' then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. digits(now))
end

local last, first = '0-0', ''
if redis.call('EXISTS', KEYS[1]) == 1 then
  local about = redis.call('XINFO', 'STREAM', KEYS[1])
  local stream = {}
  for i = 1, #about, 2 do
    stream[about[i]] = about[i + 1]
  end
  last = stream['last-generated-id']
  -- Redis before version 7 does not tell whether there were others.
  if stream['entries-added'] ~= stream['length'] and stream['first-entry'] then
    first = stream['first-entry'][1]
  end
end
return { last, first, people }
