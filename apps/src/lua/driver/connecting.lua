-- How a socket gets connected: the addresses of a name, one after another, until one answers. `till`: when the time is up,
-- by the server's monotonic clock; nil: never.

local host, driver = ...
local wait_for = driver.wait_for
local open, look_up, resolve = host.sockets.open, host.sockets.look_up, host.sockets.resolve
local sleep, time = tine.sleep, host.sockets.clock
local max = math.max

-- Between two attempts to connect to a Unix socket whose backlog is full; the kernel does not tell when there is room.
local BACKLOG_SECONDS = 0.01

local function addresses_of(name, till)
  if driver.is_loading then
    return resolve(name)
  end
  local found, why, lookup = look_up(name)
  if not lookup then
    return found, why
  end
  local ready, failure = wait_for(lookup, "r", till and max(till - time(), 0))
  if not ready then
    return nil, failure
  end
  return lookup:answer()
end

local function connect_to(address, port, till)
  local handle, is_connected = open(address, port)
  while not handle and is_connected == "later" do
    if till and time() >= till then
      return nil, "timeout"
    end
    sleep(BACKLOG_SECONDS)
    handle, is_connected = open(address, port)
  end
  if not handle then
    return nil, is_connected
  end
  while not is_connected do
    local _, why = wait_for(handle, "w", till and max(till - time(), 0))
    local failure
    if not why then
      is_connected, failure = handle:connected()
    end
    why = why or failure
    if why and why ~= "again" then
      handle:close()
      return nil, why
    end
  end
  return handle
end

local function connect_by_name(name, port, till)
  local found, why = addresses_of(name, till)
  if not found then
    return nil, why
  end
  why = "host not found"
  for i = 1, #found do
    local handle
    handle, why = connect_to(found[i], port, till)
    if handle or why == "timeout" then
      return handle, why
    end
  end
  return nil, why
end

local function connect_by_path(path, till)
  return connect_to(path, nil, till)
end

return connect_by_path, connect_by_name
