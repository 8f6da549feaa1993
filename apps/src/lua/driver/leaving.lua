-- What Lua 5.4 has to close of a request that is left: its lane, and before that the coroutines inside, which Lua itself
-- would not touch. LuaJIT has neither variables to be closed nor coroutine.close, and needs nothing of this.
--
-- Inside is what the request has made, and is in the middle of: the coroutines that it waits in, the generators of its
-- loops, others in its local variables, and the iterator that it answers with, also where that is a function around a
-- generator. A coroutine of another request or of the app's own, which was made while that loaded, goes on.

local host, driver, log_of = ...
local close_thread = driver.close_thread
if not close_thread then
  return nil
end

local getinfo, getlocal, getupvalue = debug.getinfo, debug.getlocal, debug.getupvalue
local status = coroutine.status
local pcall, tostring, type = pcall, tostring, type
local deadline, made, wrapped_by = driver.deadline, driver.made, driver.wrapped_by

-- Calls of a coroutine that are looked at, innermost first.
local CALLS_MAX = 200
-- Functions that an iterator is made of.
local FUNCTIONS_MAX = 100

local close

local function close_made(lane, thread, seen)
  if made[thread] == lane.environ then
    close(lane, thread, seen)
  end
end

-- The generator that an iterator is, or is made of.
local function close_iterator(lane, iterator, seen)
  if type(iterator) == "thread" then
    return close_made(lane, iterator, seen)
  elseif type(iterator) ~= "function" or seen[iterator] or seen.functions == FUNCTIONS_MAX then
    return
  end
  seen[iterator], seen.functions = true, (seen.functions or 0) + 1
  local thread = wrapped_by(iterator)
  if thread then
    return close_made(lane, thread, seen)
  end
  local i = 1
  local name, value = getupvalue(iterator, i)
  while name do
    close_iterator(lane, value, seen)
    i = i + 1
    name, value = getupvalue(iterator, i)
  end
end

local function close_local(lane, name, value, seen)
  local kind = type(value)
  if name == "(for state)" then
    close_iterator(lane, value, seen)
  elseif name:sub(1, 1) == "(" then
    return -- an intermediate result, maybe of long ago
  elseif kind == "thread" then
    close_made(lane, value, seen)
  elseif kind == "function" then
    local thread = wrapped_by(value)
    if thread then
      close_made(lane, thread, seen)
    end
  end
end

-- Closes a coroutine, from the inside. One that has failed is closed, too, and its error was told.
function close(lane, thread, seen)
  if seen[thread] then
    return
  end
  seen[thread] = true
  local state = status(thread)
  if state ~= "suspended" and state ~= "dead" then
    return
  end
  for level = 0, CALLS_MAX do
    if not getinfo(thread, level, "l") then
      break
    end
    local i = 1
    local name, value = getlocal(thread, level, i)
    while name do
      close_local(lane, name, value, seen)
      i = i + 1
      name, value = getlocal(thread, level, i)
    end
  end
  if thread == lane.thread then
    close_iterator(lane, lane.step, seen)
  end
  if deadline then
    deadline.watch(thread)
  end
  local ok, text = close_thread(thread)
  if not ok and state == "suspended" then
    local _, said = pcall(tostring, text)
    log_of(lane, "closing failed: " .. tostring(said))
  end
end

-- The lane and all that is inside.
local function close_lane(lane)
  close(lane, lane.thread, {})
end

-- What the app has answered with, where the request has failed around it.
local function close_step(lane)
  close_iterator(lane, lane.step, {})
end

return close_lane, close_step
