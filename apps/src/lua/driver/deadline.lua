-- `--request-timeout` for an app that does not yield: a hook that checks the clock every INSTRUCTIONS instructions. In
-- Lua 5.4 each coroutine has its own hook, in LuaJIT there is one for all. Without the option no hook is set and none
-- of this is active.
--
-- The hook is the server's: it is set when a request begins, and a hook that the app sets with debug.sethook is called
-- from it. So no app can switch the timeout off, neither for itself nor for later requests.

local host = ...
local deadline = host.deadline
if not deadline then
  return nil, host.traceback
end

local create, running = coroutine.create, coroutine.running
local error, tonumber, tostring, type, xpcall = error, tonumber, tostring, type, xpcall
local concat = table.concat
local ceil, floor = math.ceil, math.floor
local jit = jit

local INSTRUCTIONS = deadline.instructions
local check, is_interrupted, set_hook = deadline.check, deadline.is_interrupted, deadline.set_hook
local timed_out = deadline.timed_out

-- The hooks that the app has set with debug.sethook, by coroutine; in LuaJIT there is one entry.
local hooks = setmetatable({}, { __mode = "k" })
local ALL = jit and {}

function deadline.watch(thread)
  hooks[ALL or thread] = nil
  set_hook(thread, "", INSTRUCTIONS)
  return thread
end

-- A new request begins in this coroutine, whose hook is already set.
function deadline.forget_hook(thread)
  hooks[ALL or thread] = nil
end

function deadline.interrupt()
  local is_late = check()
  if is_late ~= nil then
    if is_late then
      local thread = running()
      hooks[ALL or thread] = nil
      set_hook(thread, "", 1)
    end
    error(timed_out, 0)
  end
end

-- The app's hook is tail-called and so replaces this one on the stack: debug.getinfo(2) in it is the running function.
deadline.hook_calls(function(event, line)
  local its = hooks[ALL or running()]
  local is_count = event == "count"
  if not its then
    if is_count then
      deadline.interrupt()
    end
    return
  end
  -- Lua counts the instructions of hooks, too: with line or call events the count may always run out inside a hook,
  -- where no count event is raised.
  its.until_check = its.until_check - (is_count and its.step or INSTRUCTIONS / 1000)
  if its.until_check <= 0 then
    its.until_check = INSTRUCTIONS
    deadline.interrupt()
  end
  if is_count then
    its.until_count = its.until_count - its.step
    if its.count == 0 or its.until_count > 0 then
      return
    end
    its.until_count = its.count
  end
  return its.hook(event, line)
end)

local sethook = debug.sethook
function debug.sethook(...)
  sethook(...) -- raises the errors about arguments
  local thread, hook, mask, count = ...
  if type(thread) ~= "thread" then
    thread, hook, mask, count = running(), thread, hook, mask
  end
  deadline.watch(thread)
  if not hook then
    return
  end
  local events = ""
  for letter in ("crl"):gmatch(".") do
    events = events .. (tostring(mask):find(letter, 1, true) and letter or "")
  end
  count = floor(tonumber(count) or 0)
  if count <= 0 and events == "" then
    return
  end
  -- The app's count, split into steps short enough for checking the clock.
  local step = count > 0 and ceil(count / ceil(count / INSTRUCTIONS)) or INSTRUCTIONS
  hooks[ALL or thread] = {
    hook = hook,
    mask = events,
    count = count > 0 and count or 0,
    step = step,
    until_count = count,
    until_check = INSTRUCTIONS,
  }
  set_hook(thread, events, step)
end

function debug.gethook(thread)
  local its = hooks[ALL or thread or running()]
  if its then
    return its.hook, its.mask, its.count
  end
end

function coroutine.create(f)
  return deadline.watch(create(f))
end

local function traceback(message)
  if is_interrupted() then
    -- From here on only the server's own code and the app's `close` run for this request.
    deadline.allow_closing()
    deadline.watch(running())
  end
  return host.traceback(message)
end

-- A message handler of the app would run inside the hook that interrupted it, where it could not be interrupted again.
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

-- Called once the app is loaded. Compiled loops do not call hooks: LuaJIT's compiler is switched off, what it compiled
-- while the app was loading is dropped, and the app cannot switch it on again.
function deadline.begin()
  deadline.watch(running())
  if jit then
    local on = jit.on
    jit.off()
    jit.flush()
    function jit.on(f, ...)
      if f ~= nil then
        return on(f, ...)
      end
    end
  end
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

return deadline, traceback
