-- tine.publish and tine.subscribe: messages between the requests of all workers.

local host, driver, wait = ...
local raise_in_app, AWAIT = driver.raise_in_app, driver.AWAIT
local publish, subscribe, is_draining = host.publish, host.subscribe, host.is_draining
local setmetatable, type = setmetatable, type

function tine.publish(channel, message)
  if type(channel) ~= "string" or type(message) ~= "string" then
    raise_in_app("tine.publish takes a channel and a message, two strings")
  end
  return publish(channel, message)
end

local methods = {}
local metatable = { __index = methods }

function tine.subscribe(channel)
  if type(channel) ~= "string" then
    raise_in_app("tine.subscribe takes a channel, a string")
  end
  return setmetatable({ handle = subscribe(channel) }, metatable)
end

-- Returns a message and how many were lost before it, or nil and why there is none.
function methods:receive(seconds)
  if seconds ~= nil and (type(seconds) ~= "number" or not (seconds >= 0)) then
    raise_in_app("receive takes a number of seconds, from 0, or nothing to wait for ever")
  end
  local handle = self.handle
  local message, lost = handle:next()
  if message then
    return message, lost
  end
  if not driver.current then
    raise_in_app("receive outside of a request would block all requests")
  end
  if not is_draining() then
    handle:prepare(seconds)
    wait(AWAIT)
    message, lost = handle:next()
    if message then
      return message, lost
    end
  end
  return nil, is_draining() and "closing" or "timeout"
end
