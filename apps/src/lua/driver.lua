-- The driver: what happens to a request inside the VM. Loaded once in each worker, before the app.
--
-- Requests run on pooled coroutines, each of which handles one request after another. The server resumes one, which
-- fetches the request's environ, calls the app, and yields what the app has returned: yield(SEAL, true, ...), or
-- yield(SEAL, false, text) if it has failed. What is one string the server takes from there. Anything else it gives back
-- to be sent (driver/answer.lua), and gets a part of the response with each yield(SEAL, kind + NUMBER * number, text);
-- see `Yielded` in yielded.rs, where the kinds have their numbers. When the app has to wait (tine.sleep, wsgi.input), the
-- coroutine yields too, and the server resumes it when the wait is over.
--
-- A C module may yield on its own, in the middle of the app's code. It does not know the seal, so the server recognises
-- the yield as foreign and never uses that coroutine again.
--
-- This file holds the pooled coroutines; `co` is the state of one. The other parts lie in driver/ and share the table
-- `driver`.

local host, parts = ...
local raw_yield, running = coroutine.yield, coroutine.running
local error, rawget, setmetatable, xpcall = error, rawget, setmetatable, xpcall
local getinfo = debug.getinfo
local ipairs_step = ipairs({})

-- Line buffering: what a server prints is read while it runs.
io.stdout:setvbuf("line")

local driver = {
  -- The state of the pooled coroutine that is running.
  current = nil,
  -- The threads of all pooled coroutines.
  threads = setmetatable({}, { __mode = "k" }),
  close_thread = coroutine.close, -- of Lua 5.4
  -- Lua 5.4: the environ of the request that created a coroutine, while both exist.
  made = coroutine.close and setmetatable({}, { __mode = "kv" }),
  -- The app is being loaded: no request is in flight.
  is_loading = true,
  -- The first value of each yield.
  SEAL = host.seal,
  -- Lua's own; the app gets wrappers (waiting.lua, deadline.lua).
  raw_yield = raw_yield,
  raw_xpcall = xpcall,
}
-- The kinds of yield, and what is added to them. Added to a chunk, AT_ONCE says that the next one is already there and
-- costs no call into the app; otherwise the server sends what it has before it asks for the next. Added to a whole
-- response, CLOSES says that it is sent before the coroutine is resumed to close what the app returned.
for name, number in pairs(host.yields) do
  driver[name] = number
end
local SEAL, FAILED = driver.SEAL, driver.FAILED

-- The level of the app's call, however deep in the driver, for the caller of this, and its file and line.
local function app_level()
  local level, info = 3, getinfo(3, "Sl")
  while info and (info.source == "=tine" or info.what == "C") do
    level, info = level + 1, getinfo(level + 1, "Sl")
  end
  return level - 1, info
end

-- Raises an error at the app's call.
function driver.raise_in_app(text)
  local level = app_level()
  error(text, level)
end

function driver.place()
  local _, info = app_level()
  return info and info.short_src .. ":" .. info.currentline or "?"
end

-- Logs with the request's method and path where environ still has them; the app may have changed them, so this uses
-- rawget.
function driver.log(level, text, environ)
  return host.log(level, text, environ and rawget(environ, "REQUEST_METHOD"), environ and rawget(environ, "PATH_INFO"))
end

parts.random(host)
local deadline, traceback = parts.deadline(host)
driver.deadline = deadline
local create = coroutine.create
local wait = parts.waiting(host, driver)
parts.descriptors(host, driver, wait)
local Socket = parts.socket(host, driver, parts.connecting(host, driver))
parts.luasocket(parts.luasec(driver, Socket))
local Input, Errors = parts.streams(host, driver, wait)
local file_wrapper = parts.file_wrapper(driver)
local new_environ = parts.environ(host, Input, Errors, file_wrapper)
local start = parts.start_response(host, driver)
parts.commands(host)
parts.files(host, driver)
parts.metrics(host, driver)
parts.shared(host, driver)
parts.messages(host, driver, wait)
parts.jobs(host, driver, create, traceback)
parts.modules(host, driver)
local end_websocket = parts.websocket(host, driver, wait, create, traceback)
local send_answer = parts.answer(host, driver)
local app

local function log_of(co, text)
  driver.log("error", text, co.environ)
end

local close_coroutine, close_step = parts.closing(host, driver, log_of)

local function call_close(co)
  local close, object = co.close, co.closed
  co.close, co.closed = nil, nil
  local was_interrupted = deadline and deadline.is_interrupted()
  if deadline then
    deadline.allow_closing()
    deadline.watch(running())
  end
  local ok, text = xpcall(close, traceback, object)
  if deadline and not was_interrupted then
    -- The app itself met its deadline and has returned its response.
    deadline.forget()
  end
  if not ok then
    log_of(co, "close failed: " .. text)
  end
end

-- What tine.on_abort has set is of one request, whose environ tells it from those that the coroutine answers later.
local function call_on_abort(co)
  if co.on_abort and co.on_abort_of == co.environ then
    local ok, text = xpcall(co.on_abort, traceback)
    if not ok then
      log_of(co, "tine.on_abort: the function failed: " .. text)
    end
  end
end

-- The response is sent, or has failed: the coroutine is at rest again.
local function ended(co, ok, what, text)
  if not ok and co.step and close_step then
    close_step(co)
  end
  if co.close then
    call_close(co)
  end
  co.sent, driver.current = nil, nil
  if ok then
    return SEAL, what, text
  end
  return SEAL, FAILED, what
end

local function open_coroutine(id)
  local co = {}
  local start_response = host.start_response(id, co, start)
  co.thread = create(function()
    while true do
      local environ = new_environ()
      driver.current, co.environ = co, environ
      if deadline then
        deadline.forget_hook(co.thread)
      end
      local ok, step, state, control, closing = xpcall(app, traceback, environ, start_response)
      driver.current = nil
      ok, step, state, control, closing = raw_yield(SEAL, ok, step, state, control, closing)
      if ok then
        driver.current = co
        raw_yield(ended(co, xpcall(send_answer, traceback, co, step, state, control, closing)))
      end
    end
  end)
  driver.threads[co.thread] = true
  return co.thread, co
end

-- The request ends before its app does: the client disconnected, or the app timed out. `is_aborted`: its response is not
-- complete.
local function abandon(co, is_aborted)
  driver.current = nil
  if deadline then
    deadline.allow_closing()
    deadline.watch(co.thread)
  end
  if is_aborted then
    call_on_abort(co)
  end
  if close_coroutine then
    close_coroutine(co)
  end
  if co.close then
    call_close(co)
  end
  if deadline then
    deadline.watch(running())
  end
end

local function set_app(the_app)
  app, driver.is_loading = the_app, false
  if deadline then
    deadline.begin()
  end
end

return open_coroutine, abandon, set_app, end_websocket, ipairs_step
