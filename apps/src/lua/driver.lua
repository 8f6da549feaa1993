-- The driver: what happens to a request inside the VM. Loaded once in each worker, before the app.
--
-- A lane is a coroutine that answers one request after another. The server resumes it with a request and gets back what
-- the app has to say, each time in one crossing: yield(kind, number, text, text, text), see `Said` in said.rs. Where the
-- app has to wait (tine.sleep, wsgi.input), the lane yields too, and the server resumes it when the wait is over.

local host = ...
local WHOLE, HEAD, CHUNK, END, SLEEP, READ, FAILED = 1, 2, 3, 4, 5, 6, 7

local create, running, raw_yield, raw_resume = coroutine.create, coroutine.running, coroutine.yield, coroutine.resume
local close_thread = coroutine.close -- of Lua 5.4
local error, getmetatable, ipairs, next, pcall, rawget, setmetatable, tostring, type, xpcall =
  error, getmetatable, ipairs, next, pcall, rawget, setmetatable, tostring, type, xpcall
local bare_setmetatable = debug.setmetatable
local concat, format, sort = table.concat, string.format, table.sort
local ipairs_step = ipairs({})

local app -- the application
local active -- the lane that runs now
local is_loading = true

-- Waiting -------------------------------------------------------------------------------------------------------------

local WAIT = {} -- marks a yield that is not the app's own

local function goes_on(lane, ...)
  active = lane
  return ...
end

-- Suspends the request, from whatever coroutine of the app this is called in: those between it and the lane pass the
-- wait on (see `settle`), so that an app's generators may sleep and read as its handlers do.
local function wait(kind, number)
  local lane = active
  if running() == lane.thread then
    return goes_on(lane, raw_yield(kind, number))
  end
  return raw_yield(WAIT, kind, number)
end

local function settle(thread, ok, mark, ...)
  if mark == WAIT then
    return settle(thread, raw_resume(thread, wait(...)))
  end
  return ok, mark, ...
end

function coroutine.resume(thread, ...)
  return settle(thread, raw_resume(thread, ...))
end

local function unwrap(thread, ok, ...)
  if ok then
    return ...
  end
  if close_thread then
    close_thread(thread)
  end
  error((...), 0)
end

function coroutine.wrap(f)
  local thread = create(f)
  return function(...)
    return unwrap(thread, settle(thread, raw_resume(thread, ...)))
  end
end

function coroutine.yield(...)
  if active and running() == active.thread then
    error("attempt to yield from outside a coroutine: the request itself is the server's", 2)
  end
  return raw_yield(...)
end

-- The module `tine` ---------------------------------------------------------------------------------------------------

tine = { version = host.version, time = host.time }
package.loaded.tine = tine

function tine.sleep(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0) then
    error("tine.sleep takes a number of seconds, from 0", 2)
  end
  if active then
    wait(SLEEP, seconds)
  elseif is_loading then
    host.sleep(seconds)
  else
    error("tine.sleep outside of a request would hold up all others", 2)
  end
end

function tine.log(level, text)
  local lane = active
  if not host.log(level, tostring(text), lane and lane.method, lane and lane.path) then
    error("tine.log takes a level (error, warn, info, debug) and a text", 2)
  end
end

-- wsgi.input and wsgi.errors ------------------------------------------------------------------------------------------

local Input = {}
Input.__index = Input

-- `wanted`: as many bytes, or -1 for all, or -2 for a line with its end. Returns what there is of it.
local function receive(input, wanted)
  if input.ended then
    return ""
  end
  local lane = active
  if not lane or lane.input ~= input then
    error("wsgi.input is read outside of its request", 3)
  end
  local bytes, ended = wait(READ, wanted)
  input.ended = ended
  return bytes
end

local function read_line(input, keep)
  local line = receive(input, -2)
  if line == "" then
    return nil
  end
  if not keep and line:sub(-1) == "\n" then
    line = line:sub(1, -2)
  end
  return line
end

-- As file:read of Lua: without a count all that is left, "" at the end; with one as many bytes, fewer only at the end,
-- and nil there. The formats "a", "l" and "L" are known too.
function Input:read(count)
  if count == nil or count == "a" or count == "*a" then
    return receive(self, -1)
  elseif type(count) == "number" and count >= 0 and count % 1 == 0 then
    local bytes = receive(self, count)
    if bytes == "" and (count > 0 or self.ended) then
      return nil
    end
    return bytes
  elseif count == "l" or count == "*l" or count == "L" or count == "*L" then
    return read_line(self, count:sub(-1) == "L")
  end
  error("wsgi.input:read takes a number of bytes, or \"a\", \"l\" or \"L\"", 2)
end

function Input:read_line()
  return read_line(self)
end

function Input:lines()
  return function()
    return read_line(self)
  end
end

local Errors = {}
Errors.__index = Errors

function Errors:write(...)
  local text = concat({ ... })
  if text:sub(-1) == "\n" then
    text = text:sub(1, -2)
  end
  host.log("error", text, self.method, self.path)
  return self
end

function Errors:writelines(lines)
  for _, line in ipairs(lines) do
    self:write(line)
  end
end

function Errors:flush() end

-- environ -------------------------------------------------------------------------------------------------------------

-- Most apps look at method and path and no more. So the rest lies in the request's head until somebody asks for it; then
-- the table is completed and becomes an ordinary one.
local RAW_HEAD = {}
local Environ = { __metatable = "environ is not complete yet: look up any key or call pairs(environ) first" }

local function complete(environ)
  local head = rawget(environ, RAW_HEAD)
  environ[RAW_HEAD] = nil
  bare_setmetatable(environ, nil)
  -- What the app has set by now is its own.
  local own = {}
  for key, value in next, environ do
    own[key] = value
  end
  local lane = active
  local is_current = lane and lane.environ == environ
  local has_body = host.fill(environ, head, is_current)
  local input = setmetatable({ ended = not (is_current and has_body) }, Input)
  if is_current then
    lane.input = input
  end
  environ["wsgi.version"] = { 1, 0 }
  environ["wsgi.input"] = input
  environ["wsgi.errors"] = setmetatable({ method = environ.REQUEST_METHOD, path = environ.PATH_INFO }, Errors)
  environ["wsgi.multithread"] = false
  environ["wsgi.multiprocess"] = host.is_multiprocess
  environ["wsgi.run_once"] = false
  environ["tine.version"] = host.version
  environ["tine.worker"] = host.worker
  for key, value in next, own do
    environ[key] = value
  end
  return environ
end

function Environ.__index(environ, key)
  return complete(environ)[key]
end

function Environ.__pairs(environ)
  return next, complete(environ), nil
end

-- start_response ------------------------------------------------------------------------------------------------------

-- Each name and each value, with a NUL behind it: one string crosses the border, and no NUL can be smuggled in, since
-- the server counts them.
local function add(parts, count, name, value)
  if type(name) ~= "string" then
    error("start_response: the name of a header is a string, not a " .. type(name), 4)
  end
  local kind = type(value)
  if kind == "table" then
    for i = 1, #value do
      count = add(parts, count, name, value[i])
    end
    return count
  elseif kind ~= "string" and kind ~= "number" then
    error(format("start_response: the value of %s is a string, not a %s", name, kind), 4)
  end
  parts[2 * count + 1], parts[2 * count + 2] = name, value
  return count + 1
end

local function join(headers)
  if headers == nil then
    return "", 0
  elseif type(headers) ~= "table" then
    error("start_response: the headers are a table, not a " .. type(headers), 3)
  end
  local first = headers[1]
  if first == nil then
    if next(headers) == nil then
      return "", 0
    end
    local names = {}
    for name in next, headers do
      if type(name) ~= "string" then
        error("start_response: the name of a header is a string, not a " .. type(name), 3)
      end
      names[#names + 1] = name
    end
    sort(names)
    local parts, count = {}, 0
    for i = 1, #names do
      count = add(parts, count, names[i], headers[names[i]])
    end
    return concat(parts, "\0") .. "\0", count
  end
  local length = #headers
  if length == 1 and type(first) == "table" then
    local name, value = first[1], first[2]
    if type(name) == "string" and type(value) == "string" then
      return name .. "\0" .. value .. "\0", 1
    end
  elseif length == 2 and type(first) == "table" and type(headers[2]) == "table" then
    local second = headers[2]
    local name, value, other_name, other = first[1], first[2], second[1], second[2]
    if type(name) == "string" and type(value) == "string" and type(other_name) == "string" and type(other) == "string" then
      return name .. "\0" .. value .. "\0" .. other_name .. "\0" .. other .. "\0", 2
    end
  end
  local parts, count = {}, 0
  for i = 1, length do
    local header = headers[i]
    if type(header) ~= "table" then
      error(format("start_response: header %d is a table {name, value}, not a %s", i, type(header)), 3)
    end
    count = add(parts, count, header[1], header[2])
  end
  return concat(parts, "\0") .. "\0", count
end

local function start(lane, status, headers, error_info)
  if active ~= lane then
    error("start_response is called outside of its request", 3)
  elseif lane.sent then
    if error_info then
      error(error_info, 0)
    end
    error("start_response is called when the response has begun", 3)
  elseif lane.status and not error_info then
    error("start_response is called twice", 3)
  end
  local kind = type(status)
  if kind == "number" and status % 1 == 0 then
    status = format("%d", status)
  elseif kind ~= "string" then
    error("start_response: the status is a string such as \"200 OK\", or a number, not a " .. kind, 3)
  end
  lane.joined, lane.count = join(headers)
  lane.status = status
end

-- What the app returns ------------------------------------------------------------------------------------------------

local function not_a_chunk(chunk)
  error(format("a chunk of the response is a string, not a %s", type(chunk)), 0)
end

local function not_started()
  error("the app did not call start_response", 0)
end

local function whole(lane, chunk)
  if type(chunk) ~= "string" then
    if chunk ~= nil then
      not_a_chunk(chunk)
    end
    chunk = ""
  end
  if not lane.status then
    not_started()
  end
  return WHOLE, lane.count, lane.status, lane.joined, chunk
end

-- Hands a chunk over, and goes on once there is room for the next.
local function send(lane, chunk)
  if type(chunk) ~= "string" then
    not_a_chunk(chunk)
  elseif chunk == "" then
    return
  elseif lane.sent then
    raw_yield(CHUNK, 0, chunk)
  else
    if not lane.status then
      not_started()
    end
    lane.sent = true
    raw_yield(HEAD, lane.count, lane.status, lane.joined, chunk)
  end
  active = lane
end

local function method_of(object, name)
  local kind = type(object)
  if kind ~= "table" and kind ~= "userdata" then
    return nil
  end
  -- A userdata need not be indexable.
  local ok, method = pcall(function()
    return object[name]
  end)
  return ok and type(method) == "function" and method or nil
end

-- Remembers what is to be called when the response is over, however it ends: `close` of the iterable or of its state, or
-- what a generic `for` would close.
local function find_close(lane, iterable, state, closing)
  lane.close, lane.closed = method_of(iterable, "close"), iterable
  if not lane.close then
    lane.close, lane.closed = method_of(state, "close"), state
  end
  if lane.close then
    return
  end
  local meta = closing ~= nil and getmetatable(closing)
  if type(meta) == "table" and type(meta.__close) == "function" then
    lane.close, lane.closed = meta.__close, closing
  end
end

local function finish_stream(lane)
  if lane.sent then
    return END, 0
  end
  return whole(lane, nil)
end

local function stream(lane, step, state, control)
  local is_plain = state == nil and control == nil
  while true do
    local first, second = step(state, control)
    if first == nil then
      return finish_stream(lane)
    end
    control = first
    -- The chunk is the second loop value; a plain iterator function has but one.
    if second == nil and is_plain then
      second = first
    end
    send(lane, second)
  end
end

local function is_callable(object)
  local meta = getmetatable(object)
  return type(meta) == "table" and type(meta.__call) == "function"
end

local function answer(lane, method, path, query, head)
  local environ = setmetatable({
    REQUEST_METHOD = method,
    SCRIPT_NAME = "",
    PATH_INFO = path,
    QUERY_STRING = query,
    [RAW_HEAD] = head,
  }, Environ)
  lane.environ, lane.method, lane.path = environ, method, path
  local step, state, control, closing = app(environ, lane.start_response)
  local kind = type(step)
  if kind == "function" then
    local is_list = step == ipairs_step and control == 0 and type(state) == "table"
    if is_list and state[2] == nil and state.close == nil and getmetatable(state) == nil then
      return whole(lane, state[1])
    end
    find_close(lane, nil, state, closing)
    return stream(lane, step, state, control)
  elseif kind == "string" then
    return whole(lane, step)
  elseif kind == "table" or kind == "userdata" then
    find_close(lane, step, state, closing)
    if is_callable(step) then
      return stream(lane, step, state, control)
    elseif kind == "table" then
      local length = #step
      if length <= 1 then
        return whole(lane, step[1])
      end
      for i = 1, length do
        send(lane, step[i])
      end
      return finish_stream(lane)
    end
  end
  error(format("the app returned a %s; it returns an iterator, a table of strings or a string", kind), 0)
end

-- Lanes ---------------------------------------------------------------------------------------------------------------

local function call_close(lane)
  local close, object = lane.close, lane.closed
  lane.close, lane.closed = nil, nil
  local ok, text = xpcall(close, host.traceback, object)
  if not ok then
    host.log("error", "close failed: " .. text, lane.method, lane.path)
  end
end

local function ended(lane, ok, kind, ...)
  if lane.close then
    call_close(lane)
  end
  active = nil
  lane.status, lane.sent, lane.environ, lane.input = nil, nil, nil, nil
  if ok then
    return kind, ...
  end
  return FAILED, 0, kind
end

local function run(lane, ...)
  active = lane
  return ended(lane, xpcall(answer, host.traceback, lane, ...))
end

local function open_lane()
  local lane = {}
  lane.start_response = function(...)
    start(lane, ...)
  end
  lane.thread = create(function(method, path, query, head)
    while true do
      method, path, query, head = raw_yield(run(lane, method, path, query, head))
    end
  end)
  return lane.thread, lane
end

-- The request is over before its app was: the client left, or the app's time is up.
local function abandon(lane)
  active = nil
  if close_thread then
    local ok, text = close_thread(lane.thread)
    if not ok then
      host.log("error", "closing failed: " .. tostring(text), lane.method, lane.path)
    end
  end
  if lane.close then
    call_close(lane)
  end
end

local function set_app(the_app)
  app, is_loading = the_app, false
end

return open_lane, abandon, set_app
