-- Renews the lease of the calling node, removes the members of dead nodes, and returns all members as of the last
-- event. Redis runs one script at a time, so exactly one node removes the members of a dead node.
-- KEYS: stream, people, nodes   ARGV: kept, node, lease in ms, '1' to remove the members of dead nodes
-- Returns: the id of the last event; the id of the first event if earlier ones were dropped, otherwise ''; and room,
-- nick, node and session of each member.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Lua would write numbers of this size with an exponent.
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
  -- Redis before version 7 does not report the number of dropped events.
  if stream['entries-added'] ~= stream['length'] and stream['first-entry'] then
    first = stream['first-entry'][1]
  end
end
return { last, first, people }
