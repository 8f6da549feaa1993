-- tine.after, tine.every, tine.finish, tine.on_start, tine.on_stop, tine.is_elected, tine.is_leaving: what the app does outside of
-- any request. A job's function runs on a coroutine of its own, which waits as that of a request does.

local host, driver, create, traceback = ...
local raise_in_app, place, threads = driver.raise_in_app, driver.place, driver.threads
local SEAL, END, FAILED = driver.SEAL, driver.END, driver.FAILED
local raw_yield = driver.raw_yield
local add, cancel = host.jobs.add, host.jobs.cancel
local getmetatable, ipairs, select, setmetatable, type, xpcall =
  getmetatable, ipairs, select, setmetatable, type, xpcall
local unpack = table.unpack or unpack

-- What is called, by the numbers of jobs.
local calls = {}
local starts = {}

local methods = {}
local metatable = { __index = methods, __name = "tine.timer" }

local function is_callable(object)
  local meta = getmetatable(object)
  return type(object) == "function" or type(meta) == "table" and type(meta.__call) == "function"
end

local function new(kind, seconds, f, ...)
  local number, why = add(kind, seconds, place())
  if not number then
    return nil, why
  end
  calls[number] = { f = f, is_periodic = kind == "every", count = select("#", ...), ... }
  return number
end

local function timer(number, why)
  if not number then
    return nil, why
  end
  return setmetatable({ number = number }, metatable)
end

function tine.after(seconds, f, ...)
  if type(seconds) ~= "number" or not (seconds >= 0) or not is_callable(f) then
    raise_in_app("tine.after takes a number of seconds, from 0, and a function")
  end
  return timer(new("after", seconds, f, ...))
end

function tine.every(seconds, f, ...)
  if type(seconds) ~= "number" or not (seconds >= 0.001) or not is_callable(f) then
    raise_in_app("tine.every takes a number of seconds, from 0.001, and a function")
  end
  return timer(new("every", seconds, f, ...))
end

-- It will not run again; false if it would not have.
function methods:cancel()
  calls[self.number] = nil
  return cancel(self.number)
end

function tine.finish(f, ...)
  if not is_callable(f) then
    raise_in_app("tine.finish takes a function")
  end
  local co = driver.current
  if not co or co.is_job then
    raise_in_app("tine.finish outside of a request: there is no response to wait for")
  end
  local number, why = new("finish", 0, f, ...)
  return number and true, why
end

function tine.on_start(f)
  if not is_callable(f) or not driver.is_loading then
    raise_in_app("tine.on_start takes a function, while the app loads")
  end
  starts[#starts + 1] = f
end

function tine.on_stop(f)
  if not is_callable(f) or not driver.is_loading then
    raise_in_app("tine.on_stop takes a function, while the app loads")
  end
  new("on_stop", 0, f)
end

tine.is_elected = host.jobs.is_elected
tine.is_leaving = host.is_draining

local function call(job)
  return job.f(unpack(job, 1, job.count))
end

-- For the server: a coroutine that runs a job once.
function host.jobs.open(number)
  local job = calls[number]
  if not job.is_periodic then
    calls[number] = nil
  end
  -- What the coroutines that it makes are known by (closing.lua).
  local co = { environ = {}, is_job = true }
  co.thread = create(function()
    driver.current = co
    local ok, text = xpcall(call, traceback, job)
    driver.current = nil
    raw_yield(SEAL, ok and END or FAILED, not ok and text or nil)
  end)
  threads[co.thread] = true
  return co.thread, co
end

-- For the server, before the worker serves: returns the text of an error.
function host.jobs.start()
  driver.is_loading = true
  local failure
  for _, start in ipairs(starts) do
    local ok, text = xpcall(start, traceback)
    if not ok then
      failure = text
      break
    end
  end
  starts, driver.is_loading = {}, false
  return failure
end
