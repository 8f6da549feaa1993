-- How a request waits: its pooled coroutine yields to the server, whichever of the app's coroutines starts the wait.
-- Also the module `tine`, whose sleep is such a wait.

local host, driver = ...
local raise_in_app, deadline, threads = driver.raise_in_app, driver.deadline, driver.threads
local SEAL, SLEEP, CLIENT, NUMBER = driver.SEAL, driver.SLEEP, driver.CLIENT, driver.NUMBER
local create, running, raw_yield, raw_resume = coroutine.create, coroutine.running, coroutine.yield, coroutine.resume
local status, close_thread, made = coroutine.status, driver.close_thread, driver.made
local error, tostring, type = error, tostring, type
local floor, min = math.floor, math.min

local WAIT = {} -- marks a yield that is not the app's own

local function resumed(co, ...)
  driver.current = co
  return ...
end

-- Suspends the request, whichever of the app's coroutines calls this: the coroutines in between pass the wait on to the
-- pooled one (see `settle`), so that generators may sleep and read as handlers do.
local function wait(what)
  local co = driver.current
  if running() == co.thread then
    return resumed(co, raw_yield(SEAL, what))
  end
  return raw_yield(WAIT, what)
end

local function settle(thread, ok, mark, ...)
  if mark == WAIT then
    return settle(thread, raw_resume(thread, wait(...)))
  end
  if deadline then
    -- A loop that creates and resumes coroutines executes few instructions of its own, so the hook rarely runs in it.
    deadline.interrupt()
  end
  return ok, mark, ...
end

function coroutine.resume(thread, ...)
  -- An app can get a pooled coroutine from coroutine.running(). Another request that resumed it would get its response.
  if threads[thread] then
    return false, "cannot resume a request: the server resumes it when its wait is over"
  end
  return settle(thread, raw_resume(thread, ...))
end

local function unwrap(thread, ok, ...)
  if ok then
    return ...
  end
  -- A coroutine that could not be resumed because it is running has not failed.
  if close_thread and status(thread) == "dead" then
    close_thread(thread)
  end
  error((...), 0)
end

if made then
  local plain_create = create
  function create(f)
    local thread, co = plain_create(f), driver.current
    if co then
      made[thread] = co.environ
    end
    return thread
  end
  coroutine.create = create

  function coroutine.close(thread)
    if threads[thread] then
      return false, "cannot close a request: it ends with its response"
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

-- The coroutine inside a function from coroutine.wrap; nil for any other function.
local getupvalue = debug.getupvalue
function driver.wrapped_by(f)
  local _, first = getupvalue(f, 1)
  if first == unwrap then
    local _, thread = getupvalue(f, 2)
    return thread
  end
end

function coroutine.yield(...)
  if driver.current and running() == driver.current.thread then
    raise_in_app("attempt to yield from outside a coroutine: only the server suspends the request itself")
  end
  return raw_yield(...)
end

local tine = { version = host.version, worker = host.worker, time = host.time }
_G.tine, package.loaded.tine = tine, tine

local SECONDS_MAX = 366 * 86400 -- longer sleeps are cut to a year

function tine.sleep(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0) then
    raise_in_app("tine.sleep takes a number of seconds, from 0")
  end
  if driver.current then
    wait(SLEEP + NUMBER * floor(min(seconds, SECONDS_MAX) * 1e6))
  elseif driver.is_loading then
    host.sleep(seconds)
  else
    raise_in_app("tine.sleep outside of a request would block all requests")
  end
end

-- Whether the client is still there; false and how it has left. In an abandoned request it is not, or does not matter.
function tine.connected()
  if driver.is_loading then
    raise_in_app("tine.connected outside of a request: there is no client")
  elseif not driver.current then
    return false, "closed"
  end
  wait(CLIENT)
  return host.client()
end

-- `f` is called when the request is abandoned before its response is complete.
function tine.on_abort(f)
  local co = driver.current
  if type(f) ~= "function" or not co then
    raise_in_app("tine.on_abort takes a function, within a request")
  end
  co.on_abort, co.on_abort_of = f, co.environ
end

function tine.log(level, text)
  local co = driver.current
  if type(level) ~= "string" or not driver.log(level, tostring(text), co and co.environ) then
    raise_in_app("tine.log takes a level (error, warn, info, debug) and a text")
  end
end

return wait
