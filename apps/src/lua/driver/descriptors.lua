-- tine.wait: suspends the request until a descriptor is ready. While the app is loading it blocks, as there are no
-- requests that it could hold up.

local host, driver, wait = ...
local raise_in_app, WAIT_FD = driver.raise_in_app, driver.WAIT_FD
local ask, end_wait, poll = host.sockets.ask, host.sockets.end_wait, host.sockets.poll
local type = type
local floor = math.floor

-- Waits for a descriptor's number, a socket's handle or a lookup. Returns "r", "w" or "rw", or nil and why not.
local function wait_for(target, interest, seconds)
  if driver.current then
    if seconds and seconds <= 0 then
      return poll(target, interest, 0)
    end
    local why = ask(target, interest, seconds)
    if why then
      return nil, why
    end
    wait(WAIT_FD)
    return end_wait()
  elseif driver.is_loading then
    return poll(target, interest, seconds)
  end
  raise_in_app("a wait outside of a request would block all requests")
end
driver.wait_for = wait_for

-- The number of a descriptor, from a number or an object of luasocket's kind.
local function descriptor_of(object)
  if type(object) == "table" or type(object) == "userdata" then
    local getfd = object.getfd
    object = getfd and getfd(object)
  end
  if type(object) == "number" and object >= 0 and object == floor(object) then
    return floor(object)
  end
end

function tine.wait(object, interest, seconds)
  local target = driver.handle_of(object) or descriptor_of(object)
  local is_interest = interest == "r" or interest == "w" or interest == "rw"
  local is_time = seconds == nil or type(seconds) == "number" and seconds >= 0
  if not target or not is_interest or not is_time then
    raise_in_app('tine.wait takes a descriptor, "r", "w" or "rw", and a number of seconds or nil')
  end
  local ready, why = wait_for(target, interest, seconds)
  if not ready and why ~= "timeout" and why ~= "closed" then
    raise_in_app("tine.wait: " .. why)
  end
  return ready, why
end
