-- tine.socket: connections of an app, with luasocket's methods, and nginx's where luasocket has none. Calls of the server
-- never block; what they return when they would is waited for here, where the request is suspended.

local host, driver, connect_by_path, connect_by_name = ...
local raise_in_app, wait_for = driver.raise_in_app, driver.wait_for
local take_pooled, is_interrupted = host.sockets.take_pooled, host.sockets.is_interrupted
-- A monotonic clock.
local sleep, time = tine.sleep, host.sockets.clock
local getmetatable, pairs, setmetatable = getmetatable, pairs, setmetatable
local tonumber, tostring, type = tonumber, tostring, type
local concat, floor, max, min = table.concat, math.floor, math.max, math.min

-- Seconds, as in nginx.
local TIMEOUT = 60
local KEEP_MS = 60000
-- Connections of a pool.
local POOL_SIZE = 30
-- What only the peer decides: the length of a line, of all, of what precedes a pattern.
local BYTES_MAX = 16 * 1024 * 1024

local Socket = {}
Socket.__index = Socket

-- The same with nginx's unit: settimeout takes milliseconds.
local NginxSocket = setmetatable({}, { __index = Socket })
NginxSocket.__index = NginxSocket

local function tcp_of(class)
  return setmetatable({
    connect_seconds = TIMEOUT,
    send_seconds = TIMEOUT,
    receive_seconds = TIMEOUT,
    bytes_max = BYTES_MAX,
    options = {},
    reused = 0,
  }, class)
end

function driver.handle_of(object)
  local class = type(object) == "table" and getmetatable(object)
  if class == Socket or class == NginxSocket then
    return object.handle
  end
end

local function until_of(seconds)
  return seconds and time() + seconds
end

-- A call could not go on. Returns nil and why, if it is not to be tried again.
local function go_on(handle, why, interest, till)
  if why == "again" then
    local ready, failure = wait_for(handle, interest, till and max(till - time(), 0))
    if not ready then
      return nil, failure
    end
    return true
  elseif why == "later" then
    if till and time() >= till then
      return nil, "timeout"
    end
    if driver.current then
      sleep(0)
    end
    return true
  end
  return nil, why
end

local known_options = { pool = "string", pool_size = "number" }

local function check_options(options)
  if options ~= nil and type(options) ~= "table" then
    raise_in_app("connect: the options are a table, not a " .. type(options))
  end
  for name, value in pairs(options or {}) do
    if type(value) ~= known_options[name] then
      raise_in_app("connect: the options are pool, a string, and pool_size, a number; not " .. tostring(name))
    end
  end
  return options or {}
end

local function attach(self, handle, reused)
  self.handle, self.reused = handle, reused
  for name, is_on in pairs(self.options) do
    handle:set_option(name, is_on)
  end
  return 1
end

-- Connects to what the socket was told, for which it does not look into a pool.
local function open(self, till)
  local handle, why
  if self.path then
    handle, why = connect_by_path(self.path, till)
  else
    handle, why = connect_by_name(self.host, self.port, till)
  end
  if not handle then
    return nil, why
  end
  return attach(self, handle, 0)
end

-- connect(host, port, options), or connect("unix:/path", options). Takes a connection from the pool if there is one.
function Socket:connect(name, port, options)
  if type(name) ~= "string" then
    raise_in_app("connect takes a host and a port, or \"unix:/path\"")
  end
  local path = name:match("^unix:(.+)$")
  if path then
    port, options = nil, type(port) == "table" and port or options
  else
    port = tonumber(port)
    if not port or port < 0 or port > 65535 or port ~= floor(port) then
      raise_in_app("connect: the port is a number from 0 to 65535")
    end
    port = floor(port)
  end
  options = check_options(options)
  if self.handle then
    self:close()
  end
  self.path, self.port = path, port
  self.host = not path and (name:match("^%[(.*)%]$") or name) or nil
  self.server_name, self.verify = nil, nil
  self.pool = options.pool or path and name or name .. ":" .. ("%d"):format(port)
  self.pool_size = options.pool_size
  local handle, reused = take_pooled(self.pool)
  if handle then
    return attach(self, handle, reused)
  end
  return open(self, until_of(self.connect_seconds))
end

local function flatten(data, parts)
  local kind = type(data)
  if kind == "table" then
    for i = 1, #data do
      flatten(data[i], parts)
    end
  elseif kind == "string" or kind == "number" then
    parts[#parts + 1] = data
  else
    raise_in_app("send takes a string, a number, or a table of these, not a " .. kind)
  end
end

-- A place in a string, as string.sub counts.
local function place_of(place, default, length)
  place = place or default
  return place < 0 and length + place + 1 or place
end

-- Returns the place of the last byte sent; or nil, why, and that.
function Socket:send(data, from, to)
  if type(data) ~= "string" then
    local parts = {}
    flatten(data, parts)
    data = concat(parts)
  end
  from = max(place_of(from, 1, #data), 1)
  to = min(place_of(to, -1, #data), #data)
  local handle, till = self.handle, until_of(self.send_seconds)
  if not handle then
    return nil, "closed", from - 1
  end
  local sent = from - 1
  local why
  -- TLS may have taken all, and not have sent it.
  while sent < to or why do
    sent, why = handle:send(data, sent + 1, to)
    if why then
      local _, failure = go_on(handle, why, "w", till)
      if failure then
        handle:give_up()
        return nil, failure, sent
      end
    end
  end
  return sent
end

-- Returns what was received, and whether a pattern was found; or nil, why, and what there is of it.
local function receive(self, form, pattern, number, prefix)
  local handle, till = self.handle, until_of(self.receive_seconds)
  if not handle then
    return nil, "closed", prefix
  end
  while true do
    local got, why, rest = handle:receive(form, pattern, number, self.bytes_max)
    if got then
      return prefix == "" and got or prefix .. got, why
    elseif rest then
      return nil, why, prefix .. rest
    end
    local _, failure = go_on(handle, why, "r", till)
    if failure then
      return nil, failure, prefix .. handle:give_up(form)
    end
  end
end

local function is_count(number)
  return type(number) == "number" and number >= 0 and number == floor(number) and number < 2 ^ 31
end

local forms = { ["*l"] = "line", l = "line", ["*a"] = "all", a = "all" }

-- receive(bytes), receive("*l"), receive("*a"), each with a prefix of what is returned.
function Socket:receive(pattern, prefix)
  prefix = prefix or ""
  local form = forms[pattern or "*l"]
  local number = not form and tonumber(pattern)
  if form then
    local got, why, rest = receive(self, form, "", 0, prefix)
    if got then
      return got
    end
    return nil, why, rest
  elseif not is_count(number) then
    raise_in_app('receive takes a number of bytes, "*l" or "*a"')
  end
  local got, why, rest = receive(self, "bytes", "", floor(max(number - #prefix, 0)), prefix)
  if got then
    return got
  end
  return nil, why, rest
end

function Socket:receiveany(most)
  if not is_count(most) or most == 0 then
    raise_in_app("receiveany takes a number of bytes, from 1")
  end
  local got, why = receive(self, "any", "", floor(most), "")
  if got then
    return got
  end
  return nil, why
end

-- An iterator of what precedes each pattern, or of parts of it.
function Socket:receiveuntil(pattern, options)
  if type(pattern) ~= "string" or pattern == "" then
    raise_in_app("receiveuntil takes a string that is not empty")
  end
  local plus = options and options.inclusive and "+" or ""
  local has_ended = false
  return function(size)
    if has_ended then
      has_ended = false
      return nil, nil, nil
    end
    if size == nil then
      local got, why, rest = receive(self, "until" .. plus, pattern, 0, "")
      if got then
        return got
      end
      return nil, why, rest
    elseif not is_count(size) or size == 0 then
      raise_in_app("an iterator of receiveuntil takes a number of bytes, from 1")
    end
    local got, why, rest = receive(self, "parts" .. plus, pattern, floor(size), "")
    if got then
      has_ended = why
      return got
    end
    return nil, why, rest
  end
end

-- Seconds for each call, as in luasocket; nil or a negative number: for ever.
function Socket:settimeout(seconds)
  if seconds ~= nil and type(seconds) ~= "number" then
    raise_in_app("settimeout takes a number of seconds, or nil")
  end
  if seconds and seconds < 0 then
    seconds = nil
  end
  self.connect_seconds, self.send_seconds, self.receive_seconds = seconds, seconds, seconds
  return 1
end

-- Milliseconds for each kind of call, as in nginx; nil leaves one as it is.
function Socket:settimeouts(connect_ms, send_ms, receive_ms)
  self.connect_seconds = connect_ms and connect_ms / 1000 or self.connect_seconds
  self.send_seconds = send_ms and send_ms / 1000 or self.send_seconds
  self.receive_seconds = receive_ms and receive_ms / 1000 or self.receive_seconds
  return 1
end

-- The most bytes of a line, of all, of what precedes a pattern.
function Socket:setmax(bytes)
  if not is_count(bytes) then
    raise_in_app("setmax takes a number of bytes")
  end
  self.bytes_max = floor(bytes)
  return 1
end

function Socket:setoption(name, is_on)
  if name ~= "tcp-nodelay" and name ~= "keepalive" then
    return nil, "unsupported option " .. tostring(name)
  end
  is_on = is_on == nil or is_on == true
  self.options[name] = is_on
  if self.handle then
    return self.handle:set_option(name, is_on)
  end
  return 1
end

function Socket:close()
  local handle = self.handle
  self.handle = nil
  if not handle then
    return nil, "closed"
  end
  handle:close()
  return 1
end

-- Leaves the connection in its pool, for this many milliseconds (0: for ever) and among this many others.
function Socket:setkeepalive(ms, size)
  local handle = self.handle
  self.handle = nil
  if not handle then
    return nil, "closed"
  end
  -- An abandoned request may have asked for what nothing has read.
  if is_interrupted() or not (driver.current or driver.is_loading) then
    handle:close()
    return nil, "the request is over"
  end
  return handle:keep(self.pool, ms or KEEP_MS, floor(size or self.pool_size or POOL_SIZE))
end

function Socket:getreusedtimes()
  if not self.handle then
    return nil, "closed"
  end
  return self.reused
end

function Socket:getfd()
  return self.handle and self.handle:fd() or -1
end

function Socket:getpeername()
  if not self.handle then
    return nil, "closed"
  end
  return self.handle:name(true)
end

function Socket:getsockname()
  if not self.handle then
    return nil, "closed"
  end
  return self.handle:name(false)
end

local ways = { both = "both", send = "send", receive = "receive" }

function Socket:shutdown(how)
  if not ways[how or "both"] then
    raise_in_app('shutdown takes "send", "receive" or "both"')
  elseif not self.handle then
    return nil, "closed"
  end
  return self.handle:shut_down(ways[how or "both"])
end

-- sslhandshake(session, server_name, verify): as nginx's, but `verify` is true unless it is false, or the name of a file in PEM. What
-- can be resumed is, so that `session` tells nothing; it returns true.
function Socket:sslhandshake(_, server_name, verify)
  if server_name ~= nil and type(server_name) ~= "string" then
    raise_in_app("sslhandshake: the name of the server is a string, not a " .. type(server_name))
  elseif verify ~= nil and type(verify) ~= "boolean" and type(verify) ~= "string" then
    raise_in_app("sslhandshake: verify is true, false, or the name of a file, not a " .. type(verify))
  end
  server_name = server_name or self.host
  local till = until_of(self.connect_seconds)
  local handle, done, why, interest = self.handle, nil, "closed", nil
  if handle then
    done, why = handle:begin_tls(server_name, verify)
  end
  if done == false then
    -- What the pool had is not what is asked for.
    self:close()
    done, why = open(self, till)
    handle = self.handle
    if done then
      done, why = handle:begin_tls(server_name, verify)
    end
  end
  while done do
    done, why, interest = handle:shake_hands()
    if done then
      return true
    end
    done, why = go_on(handle, why, interest, till)
  end
  -- Whatever the app does, nothing more is sent in cleartext.
  self:close()
  return nil, why
end

function NginxSocket:settimeout(ms)
  return Socket.settimeout(self, ms and ms / 1000)
end

local function module_of(class)
  local module = {}
  function module.tcp()
    return tcp_of(class)
  end
  function module.connect(name, port, options)
    local made = tcp_of(class)
    local ok, why = made:connect(name, port, options)
    if not ok then
      return nil, why
    end
    return made
  end
  return module
end

tine.socket = module_of(Socket)
tine.socket.nginx = module_of(NginxSocket)
return Socket
