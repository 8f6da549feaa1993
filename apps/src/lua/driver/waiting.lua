-- How a request waits: its lane yields to the server, from whatever coroutine of the app the wait begins in. And the
-- module `tine`, whose sleep is such a wait.

local host, driver = ...
local complain, deadline, threads = driver.complain, driver.deadline, driver.threads
local SEAL, SLEEP = driver.SEAL, driver.SLEEP
local create, running, raw_yield, raw_resume = coroutine.create, coroutine.running, coroutine.yield, coroutine.resume
local status, close_thread, made = coroutine.status, driver.close_thread, driver.made
local error, tostring, type = error, tostring, type
local floor, min = math.floor, math.min

local WAIT = {} -- marks a yield that is not the app's own

local function goes_on(lane, ...)
  driver.lane = lane
  return ...
end

-- Suspends the request, from whatever coroutine of the app this is called in: those between it and the lane pass the
-- wait on (see `settle`), so that an app's generators may sleep and read as its handlers do.
local function wait(what)
  local lane = driver.lane
  if running() == lane.thread then
    return goes_on(lane, raw_yield(SEAL, what))
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
  -- An app gets hold of it by coroutine.running(). Resumed by another request, it would answer that one.
  if threads[thread] then
    return false, "cannot resume a request: it goes on when its wait is over"
  end
  return settle(thread, raw_resume(thread, ...))
end

local function unwrap(thread, ok, ...)
  if ok then
    return ...
  end
  -- One that runs, and so could not be resumed, has not failed itself.
  if close_thread and status(thread) == "dead" then
    close_thread(thread)
  end
  error((...), 0)
end

if made then
  local plain_create = create
  function create(f)
    local thread, lane = plain_create(f), driver.lane
    if lane then
      made[thread] = lane.environ
    end
    return thread
  end
  coroutine.create = create

  function coroutine.close(thread)
    if threads[thread] then
      return false, "cannot close a request: it ends when its answer does"
    end
    return close_thread(thread)
  end
end

function coroutine.wrap(f)
  local thread = create(f)
  return function(...)
    return unwrap(thread, settle(thread, raw_resume(thread, ...)))
  end
end

-- The coroutine of a function that coroutine.wrap has made; else nothing.
local getupvalue = debug.getupvalue
function driver.wrapped_by(f)
  local _, first = getupvalue(f, 1)
  if first == unwrap then
    local _, thread = getupvalue(f, 2)
    return thread
  end
end

function coroutine.yield(...)
  if driver.lane and running() == driver.lane.thread then
    complain("attempt to yield from outside a coroutine: the request itself is the server's")
  end
  return raw_yield(...)
end

local tine = { version = host.version, worker = host.worker, time = host.time }
_G.tine, package.loaded.tine = tine, tine

local SECONDS_MAX = 366 * 86400 -- nobody will know

function tine.sleep(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0) then
    complain("tine.sleep takes a number of seconds, from 0")
  end
  if driver.lane then
    wait(SLEEP + 16 * floor(min(seconds, SECONDS_MAX) * 1e6))
  elseif driver.is_loading then
    host.sleep(seconds)
  else
    complain("tine.sleep outside of a request would hold up all others")
  end
end

function tine.log(level, text)
  local lane = driver.lane
  if type(level) ~= "string" or not driver.log(level, tostring(text), lane and lane.environ) then
    complain("tine.log takes a level (error, warn, info, debug) and a text")
  end
end

return wait
