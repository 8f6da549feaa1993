-- The driver: what happens to a request inside the VM. Loaded once in each worker, before the app.
--
-- A lane is a coroutine that answers one request after another. The server resumes it with a request and gets back what
-- the app has to say, each time in one crossing: yield(SEAL, kind + 16 * number, text, text, text), see `Said` in said.rs. Where
-- the app has to wait (tine.sleep, wsgi.input), the lane yields too, and the server resumes it when the wait is over.
--
-- A module in C may yield by itself, in the middle of the app's code. It does not know the seal: such a lane has not said
-- anything, and is never used again.
--
-- Here are the lanes; the rest is in the parts beside this file, which share the table `driver`.

local host, parts = ...
local raw_yield, running = coroutine.yield, coroutine.running
local error, rawget, setmetatable, xpcall = error, rawget, setmetatable, xpcall
local getinfo = debug.getinfo

-- Lines appear as they are written, as those of a log: what a server prints is read while it runs.
io.stdout:setvbuf("line")

local driver = {
  -- The lane that runs now.
  lane = nil,
  -- The threads of all lanes.
  threads = setmetatable({}, { __mode = "k" }),
  close_thread = coroutine.close, -- of Lua 5.4
  -- Lua 5.4: the environ of the request that has made a coroutine, for as long as there are both.
  made = coroutine.close and setmetatable({}, { __mode = "kv" }),
  -- The app is being loaded: nobody waits for an answer.
  is_loading = true,
  -- What a lane says when it yields, after the seal.
  SEAL = host.seal,
  LENGTH = 0,
  WHOLE = 1,
  HEAD = 2,
  CHUNK = 3,
  END = 4,
  SLEEP = 5,
  READ = 6,
  -- Added to a chunk: the next one is at hand, and to ask for it takes no time. Before any other is asked for, the server
  -- sends what it has.
  AT_ONCE = 8,
  -- Added to a whole answer: it is sent before the lane goes on, to close what the app has returned.
  CLOSES = 8,
  -- The server's own; the app gets another (waiting.lua).
  raw_yield = raw_yield,
}
local SEAL, FAILED = driver.SEAL, 7
-- Names of headers that a lane remembers. An app may look up what its clients name.
local FETCHED_MAX = 256

-- Raises an error where the app called us, however deep in here it is found.
function driver.complain(text)
  local level, info = 2, getinfo(2, "S")
  while info and info.source == "=tine" do
    level, info = level + 1, getinfo(level + 1, "S")
  end
  error(text, level)
end

-- With the request's method and path, as far as they are still there: environ is the app's, and this raises no error for it.
function driver.log(level, text, environ)
  return host.log(level, text, environ and rawget(environ, "REQUEST_METHOD"), environ and rawget(environ, "PATH_INFO"))
end

parts.random(host)
local deadline, traceback = parts.deadline(host)
driver.deadline = deadline
local create = coroutine.create
local wait = parts.waiting(host, driver)
local new_input, new_errors = parts.streams(host, driver, wait)
local new_environ = parts.environ(host, driver, new_input, new_errors)
local start = parts.start_response(host, driver)
parts.commands(host)
local send_answer = parts.answer(driver)
local app

local function answer(lane, method, path, query, head)
  lane.environ, lane.input, lane.status, lane.sent = new_environ(method, path, query, head), nil, nil, nil
  lane.serial = lane.serial + 1
  if lane.fetched_count > FETCHED_MAX then
    lane.fetched, lane.fetched_count = {}, 0
  end
  return send_answer(lane, app(lane.environ, lane.start_response))
end

if deadline then
  local plain_answer = answer
  function answer(lane, ...)
    deadline.forget_hook(lane.thread)
    return plain_answer(lane, ...)
  end
end

local function log_of(lane, text)
  driver.log("error", text, lane.environ)
end

local close_lane, close_step = parts.leaving(host, driver, log_of)

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
  if not ok and lane.step and close_step then
    close_step(lane)
  end
  if lane.close then
    call_close(lane)
  end
  driver.lane = nil
  if ok then
    return SEAL, what, ...
  end
  return SEAL, FAILED, what
end

local function run(lane, method, path, query, head)
  driver.lane = lane
  return ended(lane, xpcall(answer, traceback, lane, method, path, query, head))
end

local function open_lane()
  -- `fetched`: in which request of the lane a key of environ was last looked up in the head.
  local lane = { serial = 0, fetched = {}, fetched_count = 0 }
  lane.start_response = function(...)
    start(lane, ...)
  end
  lane.thread = create(function(method, path, query, head)
    while true do
      method, path, query, head = raw_yield(run(lane, method, path, query, head))
    end
  end)
  driver.threads[lane.thread] = true
  return lane.thread, lane
end

-- The request is over before its app was: the client left, or the app's time is up.
local function abandon(lane)
  driver.lane = nil
  if deadline then
    deadline.allow_closing()
    deadline.watch(lane.thread)
  end
  if close_lane then
    close_lane(lane)
  end
  if lane.close then
    call_close(lane)
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

return open_lane, abandon, set_app
