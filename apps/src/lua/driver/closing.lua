-- Closes an abandoned request under Lua 5.4: its pooled coroutine, and before that the coroutines nested in it, which
-- Lua itself would not close. LuaJIT has neither to-be-closed variables nor coroutine.close and needs none of this.
--
-- Nested coroutines are those that the request created and has not finished: the coroutines that it waits in, the
-- generators of its loops, others in its local variables, and the iterator that makes its response, also if that is a
-- function around a generator. Coroutines of other requests, or created while the app was loading, are left alone.

local host, driver, log_of = ...
local close_thread = driver.close_thread
if not close_thread then
  return nil
end

local getinfo, getlocal, getupvalue = debug.getinfo, debug.getlocal, debug.getupvalue
local status = coroutine.status
local pcall, tostring, type = pcall, tostring, type
local deadline, made, wrapped_by = driver.deadline, driver.made, driver.wrapped_by

-- Stack levels of a coroutine that are searched, innermost first.
local CALLS_MAX = 200
-- Functions, reached through upvalues, that are searched for an iterator's generator.
local FUNCTIONS_MAX = 100

local close

local function close_made(co, thread, seen)
  if made[thread] == co.environ then
    close(co, thread, seen)
  end
end

-- Closes the generator that an iterator is, or is built on.
local function close_iterator(co, iterator, seen)
  if type(iterator) == "thread" then
    return close_made(co, iterator, seen)
  elseif type(iterator) ~= "function" or seen[iterator] or seen.functions == FUNCTIONS_MAX then
    return
  end
  seen[iterator], seen.functions = true, (seen.functions or 0) + 1
  local thread = wrapped_by(iterator)
  if thread then
    return close_made(co, thread, seen)
  end
  local i = 1
  local name, value = getupvalue(iterator, i)
  while name do
    close_iterator(co, value, seen)
    i = i + 1
    name, value = getupvalue(iterator, i)
  end
end

local function close_local(co, name, value, seen)
  local kind = type(value)
  if name == "(for state)" then
    close_iterator(co, value, seen)
  elseif name:sub(1, 1) == "(" then
    return -- an intermediate result, possibly stale
  elseif kind == "thread" then
    close_made(co, value, seen)
  elseif kind == "function" then
    local thread = wrapped_by(value)
    if thread then
      close_made(co, thread, seen)
    end
  end
end

-- Closes a coroutine, the nested ones first. One that has failed is closed too; its error has been reported already.
function close(co, thread, seen)
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
      close_local(co, name, value, seen)
      i = i + 1
      name, value = getlocal(thread, level, i)
    end
  end
  if thread == co.thread then
    close_iterator(co, co.step, seen)
  end
  if deadline then
    deadline.watch(thread)
  end
  local ok, text = close_thread(thread)
  if not ok and state == "suspended" then
    local _, shown = pcall(tostring, text)
    log_of(co, "closing failed: " .. tostring(shown))
  end
end

-- Closes the pooled coroutine and all nested ones.
local function close_coroutine(co)
  close(co, co.thread, {})
end

-- Closes the iterator that the app returned, when the request failed while it was in use.
local function close_step(co)
  close_iterator(co, co.step, {})
end

return close_coroutine, close_step
