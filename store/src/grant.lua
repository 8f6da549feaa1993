-- Grants a server its shares of the limits that all servers at this key have in common. Atomic, as scripts are.
--
-- A server reports what it holds: for concurrency the most that it may have in flight from now on, for the rate the most that
-- it may have admitted in any window that ends from now on. It never goes above that before it has been granted more. What is
-- granted counts as held until the server reports less. So, with
--
--     the sum of what is held <= the limit
--
-- at each moment, neither limit is exceeded by all servers together at any: a share is only raised by what others have
-- reported that they no longer hold. Each server is told its fair share of the limit as its target, by what all of them want;
-- what it holds above that it gives up as its requests end or its window passes.
--
-- A server that is silent for the TTL is taken for dead: its concurrency is free then, and its rate when, in addition, the
-- last window of its life has passed. If none has reported for a while, the store was out of reach, or its clock was set: then
-- none is taken for dead before all have had the time to come back ("trusted").
--
-- A store that has lost its memory (it was restarted, or the key removed) does not know what living servers hold. Until all
-- of them have reported it ("settled") no share is raised. That takes a moment if all are in contact with the store, and the
-- grace if any has been in contact with the one before, as all of them may have to come back.
--
-- The key is a hash: "run", "begun" and "settled", "trusted", "window", and for each server "s:ID" with the numbers of FIELDS.

local FIELDS = {"serial", "seen", "ttl", "limit", "held", "want", "rate", "window", "rate_held", "rate_want"}

local key, id = KEYS[1], "s:" .. ARGV[1]
local run, started, grace, recall, forget = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local is_leaving, was_here = ARGV[7] == "1", ARGV[8] == "1"
local own = {seen = 0}
for at, field in ipairs({"serial", "ttl", "limit", "held", "want", "rate", "window", "rate_held", "rate_want"}) do
  own[field] = tonumber(ARGV[8 + at])
end

local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function text(server)
  local numbers = {}
  for at, field in ipairs(FIELDS) do numbers[at] = string.format("%.0f", server[field]) end
  return table.concat(numbers, " ")
end

local function put(name, number)
  redis.call("HSET", key, name, string.format("%.0f", number))
end

local function parsed(line)
  local server, at = {}, 0
  for number in string.gmatch(line, "%S+") do
    at = at + 1
    if FIELDS[at] then server[FIELDS[at]] = tonumber(number) end
  end
  return at == #FIELDS and server or nil
end

-- What is known.
local known, servers = {}, {}
local all = redis.call("HGETALL", key)
for at = 1, #all, 2 do
  if string.sub(all[at], 1, 2) == "s:" then servers[all[at]] = parsed(all[at + 1]) else known[all[at]] = all[at + 1] end
end
local begun, settled = tonumber(known.begun or 0), math.min(tonumber(known.settled or 0), now + grace)
if known.run ~= run then
  redis.call("DEL", key)
  known, servers, begun, settled = {}, {}, now, math.max(now + recall, started + grace)
  redis.call("HSET", key, "run", run)
  put("begun", begun)
  put("settled", settled)
end

-- The report, unless a newer one has come before it.
local before = servers[id]
if before and own.serial <= before.serial then return {-1} end
if not before and was_here and settled < begun + grace then
  settled = begun + grace
  put("settled", settled)
end

-- The last report of any server that has not left, by a clock that may have been set back.
local last, trusted = 0, math.min(tonumber(known.trusted or 0), now + grace)
for name, server in pairs(servers) do
  if server.seen > now then
    server.seen = now
    redis.call("HSET", key, name, text(server))
  end
  if server.limit + server.rate > 0 then last = math.max(last, server.seen) end
end
if last > 0 and now - last > grace then
  trusted = now + grace
  put("trusted", trusted)
end
own.seen = now
servers[id] = own

-- The lowest limits of the living servers, and the longest window.
local limit, rate, window, living = 0, 0, 0, 0
for name, server in pairs(servers) do
  local silent = now - server.seen
  if now < trusted and server.limit + server.rate > 0 then silent = 0 end
  if silent > server.ttl + math.max(server.window, tonumber(known.window or 0)) then
    redis.call("HDEL", key, name)
    servers[name] = nil
  elseif silent > server.ttl then
    server.held, server.limit, server.want, server.rate, server.rate_want = 0, 0, 0, 0, 0
  elseif not (is_leaving and name == id) then
    living = living + 1
    if server.limit > 0 and (limit == 0 or server.limit < limit) then limit = server.limit end
    if server.rate > 0 and (rate == 0 or server.rate < rate) then rate = server.rate end
    if server.rate > 0 and server.window > window then window = server.window end
  end
end
-- What servers hold of a rate is counted in its window.
if window > 0 and tonumber(known.window or 0) ~= window then
  if known.window then settled = math.max(settled, now + recall) end
  put("window", window)
  put("settled", settled)
end

if is_leaving then
  own.seen, own.held, own.limit, own.rate = now - own.ttl - 1, 0, 0, 0
  redis.call("HSET", key, id, text(own))
  return {0, 0, 0, 0, 0, living}
end

-- A fair share: each gets what it wants, as long as none gets less than an equal part for it; all get the same of what is left.
local function target(total, of, want)
  local list = {}
  for name, server in pairs(servers) do
    if server[of] > 0 then list[#list + 1] = {name = name, want = server[want], got = 0} end
  end
  table.sort(list, function(a, b) return a.want < b.want or a.want == b.want and a.name < b.name end)
  local left = total
  for at, one in ipairs(list) do
    one.got = math.min(one.want, math.floor(left / (#list - at + 1)))
    left = left - one.got
  end
  local mine = 0
  for at, one in ipairs(list) do
    local part = math.floor(left / (#list - at + 1))
    left = left - part
    if one.name == id then mine = one.got + part end
  end
  return mine
end

local function share(total, of, held, want)
  if own[of] == 0 then return 0 end
  local others = 0
  for name, server in pairs(servers) do
    if name ~= id then others = others + server[held] end
  end
  local most = own[held]
  if now >= settled then most = math.max(most, total - others) end
  local granted = math.min(target(total, of, want), most)
  own[held] = math.max(own[held], granted)
  return granted
end

local granted = share(limit, "limit", "held", "want")
local granted_rate = share(rate, "rate", "rate_held", "rate_want")
redis.call("HSET", key, id, text(own))
redis.call("PEXPIRE", key, string.format("%.0f", forget))
return {granted, limit, granted_rate, rate, window, living}
