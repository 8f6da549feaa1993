-- The driver: what happens to a request inside the VM. Loaded once in each worker, before the app.
--
-- A lane is a coroutine that answers one request after another. The server resumes it with a request and gets back what
-- the app has to say, each time in one crossing: yield(kind + 8 * number, text, text, text), see `Said` in said.rs. Where the
-- app has to wait (tine.sleep, wsgi.input), the lane yields too, and the server resumes it when the wait is over.

local host = ...
local WHOLE, HEAD, CHUNK, END, SLEEP, READ, FAILED = 1, 2, 3, 4, 5, 6, 7

local create, running, raw_yield, raw_resume = coroutine.create, coroutine.running, coroutine.yield, coroutine.resume
local close_thread = coroutine.close -- of Lua 5.4
local error, getmetatable, ipairs, next, pcall, rawget, rawset, setmetatable, tostring, type, xpcall =
  error, getmetatable, ipairs, next, pcall, rawget, rawset, setmetatable, tostring, type, xpcall
local bare_setmetatable = debug.setmetatable
local concat, sort = table.concat, table.sort
local format, sub = string.format, string.sub
local getinfo = debug.getinfo
local floor, min = math.floor, math.min
-- Lua 5.1 has but one kind of number.
local value_kind = math.type or function(value)
  return type(value) == "number" and "integer"
end
local ipairs_step = ipairs({})

local app -- the application
local active -- the lane that runs now
local is_loading = true

-- Raises an error where the app called us, however deep in here it is found.
local function complain(text)
  local level, info = 2, getinfo(2, "S")
  while info and info.source == "=tine" do
    level, info = level + 1, getinfo(level + 1, "S")
  end
  error(text, level)
end

-- Time -----------------------------------------------------------------------------------------------------------------

-- Only with --request-timeout: who runs is interrupted where the request's time is up. In Lua 5.4 each coroutine has a
-- hook of its own, in LuaJIT there is one for all.
local deadline = host.deadline
local traceback = host.traceback

if deadline then
  local INSTRUCTIONS = 10000 -- between two looks at the clock: some 50 us of plain Lua
  local look, is_interrupted, over, sethook = deadline.look, deadline.is_interrupted, deadline.over, debug.sethook

  function deadline.interrupt()
    local is_late = look()
    if is_late ~= nil then
      if is_late then
        sethook(deadline.interrupt, "", 1)
      end
      error(over, 0)
    end
  end

  function deadline.watch(thread)
    sethook(thread, deadline.interrupt, "", INSTRUCTIONS)
    return thread
  end

  local raw_create = create
  function create(f)
    return deadline.watch(raw_create(f))
  end
  coroutine.create = create

  function traceback(message)
    if is_interrupted() then
      -- What remains to be done for this request is ours, and its `close`.
      deadline.allow_closing()
      deadline.watch(running())
    end
    return host.traceback(message)
  end

  -- A handler of the app's would run inside the hook that has interrupted it, where nothing can interrupt it once more.
  local plain_traceback = debug.traceback
  function _G.xpcall(f, handler, ...)
    if handler == plain_traceback or type(handler) ~= "function" then
      return xpcall(f, handler, ...)
    end
    return xpcall(f, function(...)
      if is_interrupted() then
        return ...
      end
      return handler(...)
    end, ...)
  end

  local load = load
  if jit then
    -- LuaJIT's hooks stay switched off when one of them raises an error inside a function that `load` reads from.
    function _G.load(chunk, name, ...)
      if type(chunk) == "function" then
        local parts, part = {}, chunk()
        while type(part) == "string" and part ~= "" do
          parts[#parts + 1] = part
          part = chunk()
        end
        if part ~= nil and type(part) ~= "string" then
          error("reader function must return a string", 2)
        end
        chunk, name = concat(parts), name or "=(load)"
      end
      return load(chunk, name, ...)
    end
  end
end

-- Waiting -------------------------------------------------------------------------------------------------------------

local WAIT = {} -- marks a yield that is not the app's own

local function goes_on(lane, ...)
  active = lane
  return ...
end

-- Suspends the request, from whatever coroutine of the app this is called in: those between it and the lane pass the
-- wait on (see `settle`), so that an app's generators may sleep and read as its handlers do.
local function wait(what)
  local lane = active
  if running() == lane.thread then
    return goes_on(lane, raw_yield(what))
  end
  return raw_yield(WAIT, what)
end

local function settle(thread, ok, mark, ...)
  if mark == WAIT then
    return settle(thread, raw_resume(thread, wait(...)))
  end
  if deadline then
    -- One that makes others and resumes them has few instructions of its own to be counted.
    deadline.interrupt()
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
    complain("attempt to yield from outside a coroutine: the request itself is the server's")
  end
  return raw_yield(...)
end

-- The module `tine` ---------------------------------------------------------------------------------------------------

tine = { version = host.version, time = host.time }
package.loaded.tine = tine

local SECONDS_MAX = 366 * 86400 -- nobody will know

function tine.sleep(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0) then
    complain("tine.sleep takes a number of seconds, from 0")
  end
  if active then
    wait(SLEEP + 8 * floor(min(seconds, SECONDS_MAX) * 1e6))
  elseif is_loading then
    host.sleep(seconds)
  else
    complain("tine.sleep outside of a request would hold up all others")
  end
end

function tine.log(level, text)
  local lane = active
  local environ = lane and lane.environ
  if type(level) ~= "string" or not host.log(level, tostring(text), environ and environ.REQUEST_METHOD, environ and environ.PATH_INFO) then
    complain("tine.log takes a level (error, warn, info, debug) and a text")
  end
end

-- wsgi.input and wsgi.errors ------------------------------------------------------------------------------------------

local Input = {}
Input.__index = Input

local BYTES_MAX = 2 ^ 40

-- `wanted`: as many bytes, or -1 for all, or -2 for a line with its end. Returns what there is of it.
local function receive(input, wanted)
  if input.ended then
    return ""
  end
  local lane = active
  if not lane or lane.input ~= input then
    complain("wsgi.input is read outside of its request")
  end
  local bytes, ended = wait(READ + 8 * (min(wanted, BYTES_MAX) + 2))
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
  complain("wsgi.input:read takes a number of bytes, or \"a\", \"l\" or \"L\"")
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
  if sub(text, -1) == "\n" then
    text = sub(text, 1, -2)
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

-- Most apps look at method and path and at a header or two. So the rest lies in the request's head until somebody asks
-- for it; pairs() makes the table complete, and an ordinary one.
local RAW_HEAD = {}
local Environ = { __metatable = "environ is not complete: call pairs(environ) before it gets a metatable of yours" }

local CONSTANTS = {
  SCRIPT_NAME = "",
  ["wsgi.version"] = { 1, 0 },
  ["wsgi.url_scheme"] = "http",
  ["wsgi.multithread"] = false,
  ["wsgi.multiprocess"] = host.is_multiprocess,
  ["wsgi.run_once"] = false,
  ["tine.version"] = host.version,
  ["tine.worker"] = host.worker,
}

local MADE = {
  ["wsgi.input"] = function(environ, head)
    local lane = active
    local is_current = lane and lane.environ == environ
    local input = setmetatable({ ended = not (is_current and host.has_body(head)) }, Input)
    if is_current then
      lane.input = input
    end
    return input
  end,
  ["wsgi.errors"] = function(environ)
    return setmetatable({ method = environ.REQUEST_METHOD, path = environ.PATH_INFO }, Errors)
  end,
}

function Environ.__index(environ, key)
  local value = CONSTANTS[key]
  if value ~= nil then
    return value
  end
  local lane = active
  local is_current = lane and lane.environ == environ
  -- It was looked up before and is gone: the app has removed it.
  if is_current and lane.fetched[key] == lane.serial then
    return nil
  end
  local head = rawget(environ, RAW_HEAD)
  local make = MADE[key]
  if make then
    value = make(environ, head)
  elseif type(key) == "string" then
    -- Of a request that is over nobody can ask who sent it.
    value = host.field(head, key, is_current)
  end
  if value ~= nil then
    rawset(environ, key, value)
    if is_current then
      lane.fetched[key] = lane.serial
    end
  end
  return value
end

function Environ.__pairs(environ)
  local head = rawget(environ, RAW_HEAD)
  local lane = active
  local is_current = lane and lane.environ == environ
  local fields = host.fields(head, is_current)
  for key, value in next, CONSTANTS do
    fields[key] = value
  end
  for key, make in next, MADE do
    fields[key] = rawget(environ, key) or make(environ, head)
  end
  environ[RAW_HEAD] = nil
  bare_setmetatable(environ, nil)
  for key, value in next, fields do
    -- What the app has set by now is its own, and so is what it has removed.
    if environ[key] == nil and not (is_current and lane.fetched[key] == lane.serial) then
      environ[key] = value
    end
  end
  return next, environ, nil
end

-- What the app removes without a look at it is not to be found in the head afterwards.
function Environ.__newindex(environ, key, value)
  if value == nil then
    Environ.__pairs(environ)
  end
  rawset(environ, key, value)
end

-- start_response ------------------------------------------------------------------------------------------------------

-- Each name and each value, with a NUL behind it: one string crosses the border, and no NUL can be smuggled in, since
-- the server counts them when it checks the head.
local function add(parts, name, value)
  if type(name) ~= "string" then
    complain("start_response: the name of a header is a string, not a " .. type(name))
  end
  local kind = type(value)
  if kind == "table" then
    for i = 1, #value do
      add(parts, name, value[i])
    end
    return
  elseif kind ~= "string" and kind ~= "number" then
    complain(format("start_response: the value of %s is a string, not a %s", name, kind))
  end
  parts[#parts + 1] = name
  parts[#parts + 1] = value
end

local function join(headers)
  if headers == nil then
    return "", 0
  elseif type(headers) ~= "table" then
    complain("start_response: the headers are a table, not a " .. type(headers))
  end
  local parts = {}
  if headers[1] ~= nil then
    for i = 1, #headers do
      local header = headers[i]
      if type(header) ~= "table" then
        complain(format("start_response: header %d is a table {name, value}, not a %s", i, type(header)))
      end
      add(parts, header[1], header[2])
    end
  else
    local names = {}
    for name in next, headers do
      if type(name) ~= "string" then
        complain("start_response: the name of a header is a string, not a " .. type(name))
      end
      names[#names + 1] = name
    end
    sort(names)
    for i = 1, #names do
      add(parts, names[i], headers[names[i]])
    end
  end
  local count = #parts / 2
  if count == 0 then
    return "", 0
  end
  return concat(parts, "\0") .. "\0", count
end

-- Most apps send few different heads. Those that the server has seen it knows by a number; the way there is a tree: by
-- status, then by each name and each value in turn.
local heads, heads_count = {}, 0
local NUMBER, BRANCHES = {}, {}
local HEADS_MAX, BRANCHES_MAX, LENGTH_MAX = 256, 16, 256

local function number_of(status, headers)
  local node = heads[status]
  if not node or type(headers) ~= "table" then
    return nil
  end
  local count = #headers
  if count == 0 and next(headers) ~= nil then
    return nil
  end
  for i = 1, count do
    local header = headers[i]
    node = node[header[1]]
    local value = header[2]
    node = node and value ~= nil and node[value]
    if not node then
      return nil
    end
  end
  return node[NUMBER]
end

-- The branch of a node, made where there is room for it: of values that are new each time only the first are kept.
local function branch(node, key)
  local found = node[key]
  if not found then
    local branches = node[BRANCHES] or 0
    if branches >= BRANCHES_MAX then
      return nil
    end
    found = {}
    node[BRANCHES], node[key] = branches + 1, found
  end
  return found
end

local function remember(status, spelled, headers, joined, count)
  if heads_count >= HEADS_MAX or #joined > LENGTH_MAX or #(headers or "") ~= count then
    return nil
  end
  local node = branch(heads, status)
  for i = 1, count do
    local header = headers[i]
    local name, value = header[1], header[2]
    -- To a table 1.0 is 1, which is sent as another text.
    local is_plain = type(value) == "string" or value_kind(value) == "integer"
    node = node and is_plain and branch(node, name)
    node = node and branch(node, value)
  end
  if node then
    heads_count = heads_count + 1
    node[NUMBER] = host.keep_head(spelled, joined, count)
    return node[NUMBER]
  end
end

local function start(lane, status, headers, error_info)
  if active ~= lane then
    complain("start_response is called outside of its request")
  elseif lane.sent then
    if error_info then
      error(error_info, 0)
    end
    complain("start_response is called when the response has begun")
  elseif lane.status and not error_info then
    complain("start_response is called twice")
  end
  local number = number_of(status, headers)
  if not number then
    local spelled = status
    local kind = type(status)
    if kind == "number" then
      if not (status % 1 == 0 and status >= 0 and status < 1000) then
        complain(format("start_response: %s is not a status", status))
      end
      spelled = format("%d", status)
    elseif kind ~= "string" then
      complain("start_response: the status is a string such as \"200 OK\", or a number, not a " .. kind)
    end
    local joined, count = join(headers)
    local mistake = host.check_head(spelled, joined, count)
    if mistake then
      complain("start_response: " .. mistake)
    end
    lane.spelled, lane.joined = spelled, joined
    number = remember(status, spelled, headers, joined, count) or 0
  end
  lane.number, lane.status = number, status
end

-- What the app returns ------------------------------------------------------------------------------------------------

local function not_started()
  error("the app did not call start_response", 0)
end

-- What the chunk is, is seen on the other side.
local function whole(lane, chunk)
  if not lane.status then
    not_started()
  end
  local number = lane.number
  if number > 0 then
    return WHOLE + 8 * number, chunk
  end
  return WHOLE, chunk, lane.spelled, lane.joined
end

-- Hands a chunk over, and goes on once there is room for the next.
local function send(lane, chunk)
  if chunk == "" then
    return
  elseif type(chunk) ~= "string" and type(chunk) ~= "number" then
    error(format("a chunk of the response is a string, not a %s", type(chunk)), 0)
  elseif lane.sent then
    raw_yield(CHUNK, chunk)
  else
    if not lane.status then
      not_started()
    end
    lane.sent = true
    local number = lane.number
    if number > 0 then
      raw_yield(HEAD + 8 * number, chunk)
    else
      raw_yield(HEAD, chunk, lane.spelled, lane.joined)
    end
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
    return END
  end
  return whole(lane, "")
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
  local environ =
    setmetatable({ REQUEST_METHOD = method, PATH_INFO = path, QUERY_STRING = query, [RAW_HEAD] = head }, Environ)
  lane.environ, lane.input, lane.status, lane.sent = environ, nil, nil, nil
  lane.serial = lane.serial + 1
  local step, state, control, closing = app(environ, lane.start_response)
  -- A list of one, as the commonest apps return it. `#` is without surprises where `state[2]` might not be.
  if step == ipairs_step and control == 0 and #state == 1 and not state.close then
    return whole(lane, state[1])
  end
  local kind = type(step)
  if kind == "string" or kind == "number" then
    return whole(lane, step)
  elseif kind == "function" then
    find_close(lane, nil, state, closing)
    return stream(lane, step, state, control)
  elseif kind == "table" or kind == "userdata" then
    find_close(lane, step, state, closing)
    if is_callable(step) then
      return stream(lane, step, state, control)
    elseif kind == "table" then
      local length = #step
      if length <= 1 then
        local chunk = step[1]
        if chunk == nil then
          chunk = ""
        end
        return whole(lane, chunk)
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

local function log_of(lane, text)
  host.log("error", text, lane.environ.REQUEST_METHOD, lane.environ.PATH_INFO)
end

local function call_close(lane)
  local close, object = lane.close, lane.closed
  lane.close, lane.closed = nil, nil
  local was_interrupted = deadline and deadline.is_interrupted()
  if deadline then
    deadline.allow_closing()
    deadline.watch(running())
  end
  local ok, text = xpcall(close, traceback, object)
  if deadline and not was_interrupted then
    -- The app itself was in time, and has said all it had to say.
    deadline.forget()
  end
  if not ok then
    log_of(lane, "close failed: " .. text)
  end
end

local function ended(lane, ok, what, ...)
  if lane.close then
    call_close(lane)
  end
  active = nil
  if ok then
    return what, ...
  end
  return FAILED, what
end

local function run(lane, method, path, query, head)
  active = lane
  return ended(lane, xpcall(answer, traceback, lane, method, path, query, head))
end

local function open_lane()
  -- `fetched`: in which request of the lane a key of environ was last looked up in the head.
  local lane = { serial = 0, fetched = {} }
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
  if deadline then
    deadline.allow_closing()
    deadline.watch(lane.thread)
  end
  if close_thread then
    local ok, text = close_thread(lane.thread)
    if not ok then
      log_of(lane, "closing failed: " .. tostring(text))
    end
  end
  if lane.close then
    call_close(lane)
  end
  if deadline then
    deadline.watch(running())
  end
end

local function set_app(the_app)
  app, is_loading = the_app, false
  if deadline then
    deadline.watch(running())
  end
end

return open_lane, abandon, set_app
