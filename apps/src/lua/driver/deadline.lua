-- `--request-timeout` for an app that does not let go: a hook that looks at the clock every so many instructions. In Lua
-- 5.4 each coroutine has a hook of its own, in LuaJIT there is one for all. Without the option there is none, and nothing
-- of this.

local host = ...
local deadline = host.deadline
if not deadline then
  return nil, host.traceback
end

local create, running = coroutine.create, coroutine.running
local error, type, xpcall = error, type, xpcall
local concat = table.concat

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

function coroutine.create(f)
  return deadline.watch(create(f))
end

local function traceback(message)
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

return deadline, traceback
