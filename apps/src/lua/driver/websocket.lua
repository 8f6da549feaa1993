-- tine.websocket: what an app returns to make a WebSocket of its request, and the object that its function gets.
--
-- The function runs in the coroutine of the request, and each that it spawns in one of its own. They wait apart from each
-- other and end together. How it has ended is set by the server (end_websocket); from then on nothing can be sent, and each
-- coroutine is told by `receive` once. What goes on regardless gets an error, which ends it and is not logged.

local host, driver, wait, create, traceback = ...
local raise_in_app, raw_yield, raw_xpcall = driver.raise_in_app, driver.raw_yield, driver.raw_xpcall
local SEAL, NUMBER, END, FAILED = driver.SEAL, driver.NUMBER, driver.END, driver.FAILED
local UPGRADE, RECEIVE, ROOM, CLOSE = driver.UPGRADE, driver.RECEIVE, driver.ROOM, driver.CLOSE
local push, take, ask_close, adopt = host.websocket.push, host.websocket.take, host.websocket.close, host.websocket.adopt
local error, getmetatable, ipairs, pairs = error, getmetatable, ipairs, pairs
local select, setmetatable, tostring, type = select, setmetatable, tostring, type
local unpack = table.unpack or unpack
local floor, min = math.floor, math.min

local SECONDS_MAX = 366 * 86400 -- longer waits are cut to a year
local CLOSED = "the WebSocket is closed"

local Answer = {}
local methods = {}
local WebSocket = { __index = methods }

local function is_callable(object)
  local meta = type(object) ~= "function" and getmetatable(object)
  return type(object) == "function" or type(meta) == "table" and type(meta.__call) == "function"
end

-- The first of these subprotocols that the client offers.
local function choose(subprotocols, offered)
  for _, name in ipairs(subprotocols) do
    for other in offered:gmatch("[^,]+") do
      if other:match("^%s*(.-)%s*$") == name then
        return name
      end
    end
  end
end

local function checked_options(options)
  for name in pairs(options) do
    if name ~= "subprotocol" and name ~= "close" then
      raise_in_app("tine.websocket: there is no option " .. tostring(name))
    end
  end
  local names = options.subprotocol
  if type(names) == "string" then
    names = { names }
  elseif names ~= nil and type(names) ~= "table" then
    raise_in_app("tine.websocket: subprotocol is a string or a list of strings")
  elseif options.close ~= nil and not is_callable(options.close) then
    raise_in_app("tine.websocket: close is a function")
  end
  return names or {}, options.close
end

function tine.websocket(environ, options, f)
  if f == nil then
    options, f = {}, options
  end
  if type(environ) ~= "table" or type(options) ~= "table" or not is_callable(f) then
    raise_in_app("tine.websocket takes environ, options if there are any, and a function")
  end
  local names, close = checked_options(options)
  local subprotocol = choose(names, environ.HTTP_SEC_WEBSOCKET_PROTOCOL or "")
  return setmetatable({ subprotocol = subprotocol, close = close, run = f }, Answer)
end

local function handler(message)
  local co = driver.current
  local is_over = co and co.websocket and co.websocket.code
  if is_over and type(message) == "string" and message:sub(-#CLOSED) == CLOSED then
    return CLOSED
  end
  return traceback(message)
end

-- True, or false and the error with its traceback. That there is nothing left to use is none.
local function run(f, ...)
  local ok, text = raw_xpcall(f, handler, ...)
  return ok or text == CLOSED, text
end

-- The request of `co` becomes a WebSocket.
function driver.serve_websocket(co, answer)
  local ws = setmetatable({ subprotocol = answer.subprotocol }, WebSocket)
  co.websocket = ws
  raw_yield(SEAL, UPGRADE, answer.subprotocol or "")
  -- The 101 is sent; if it is refused, this is never resumed.
  driver.current, co.sent = co, true
  co.close, co.closed = answer.close, ws
  local ok, text = run(answer.run, ws)
  co.websocket, co.knows_end = nil, nil
  if not ok then
    error(text, 0)
  end
  return END
end

-- The coroutine that runs, which has to be one of this WebSocket's.
local function own(ws)
  local co = driver.current
  if not co or type(ws) ~= "table" or co.websocket ~= ws then
    raise_in_app("a WebSocket is used as ws:method(...), and only by its own connection; tine.publish reaches others")
  end
  return co
end

-- The message and "text" or "binary"; nil and "timeout"; at the end nil, the code and the reason.
function methods:receive(seconds)
  if seconds ~= nil and (type(seconds) ~= "number" or not (seconds >= 0)) then
    raise_in_app("receive takes a number of seconds, from 0, or nothing to wait for ever")
  end
  local co = own(self)
  if not self.code then
    wait(RECEIVE + NUMBER * (seconds and floor(min(seconds, SECONDS_MAX) * 1e6) + 1 or 0))
    local message, kind = take()
    if message then
      return message, kind
    elseif not self.code then
      return nil, "timeout"
    end
  end
  if co.knows_end then
    raise_in_app(CLOSED)
  end
  co.knows_end = true
  return nil, self.code, self.reason
end

-- An iterator of all messages.
function methods:messages()
  return function()
    local message, kind = self:receive()
    if message then
      return message, kind
    end
  end
end

local function try_push(ws, data, is_binary)
  if ws.code then
    raise_in_app(CLOSED)
  end
  local is_done, why = push(data, is_binary)
  if why then
    raise_in_app("send: " .. why)
  end
  return is_done
end

-- Sends a message once there is room for it.
function methods:send(data, kind)
  own(self)
  if type(data) == "number" then
    data = tostring(data)
  end
  if type(data) ~= "string" or kind ~= nil and kind ~= "text" and kind ~= "binary" then
    raise_in_app('send takes a string, and its kind, "text" or "binary"')
  end
  local is_binary = kind == "binary"
  if not try_push(self, data, is_binary) then
    wait(ROOM)
    try_push(self, data, is_binary)
  end
  return true
end

-- Closes it after what was sent.
function methods:close(code, reason)
  own(self)
  if self.code then
    return
  end
  if code ~= nil and (type(code) ~= "number" or code % 1 ~= 0) or reason ~= nil and type(reason) ~= "string" then
    raise_in_app("close takes a code, a whole number, and a reason, a string")
  end
  local why = ask_close(code or 1000, reason or "")
  if why then
    raise_in_app("close: " .. why)
  end
  wait(CLOSE)
end

-- Runs a function beside the running one, in a coroutine of its own.
function methods:spawn(f, ...)
  local parent = own(self)
  if not is_callable(f) then
    raise_in_app("spawn takes a function, and its arguments")
  elseif self.code then
    raise_in_app(CLOSED)
  end
  local co = { environ = parent.environ, websocket = self }
  local count, arguments = select("#", ...), { ... }
  co.thread = create(function()
    driver.current = co
    local ok, text = run(f, unpack(arguments, 1, count))
    driver.current = nil
    raw_yield(SEAL, ok and END or FAILED, text)
  end)
  driver.threads[co.thread] = true
  adopt(co.thread, co)
end

driver.websocket_answer = Answer

-- The WebSocket of `co` has ended.
return function(co, code, reason)
  local ws = co.websocket
  if ws then
    ws.code, ws.reason = code, reason
  end
end
