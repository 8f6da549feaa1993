-- tine.socket.install(): from then on require("socket") is tine.socket, so that modules that are written for luasocket hold
-- nothing up, and require("ssl") has luasec's interface to it. What is missing is luasocket's own where that is installed, such as
-- socket.udp, which blocks.

local ssl = ...
local socket = tine.socket
local error, getmetatable, pcall, require = error, getmetatable, pcall, require
local rawget, select, setmetatable, type = rawget, select, setmetatable, type
local loaded = package.loaded

-- luasocket's exceptions, in Lua: a request cannot be suspended inside of those in C.
local Exception = {}

local function newtry(finalizer)
  return function(...)
    if ... then
      return ...
    end
    if finalizer then
      pcall(finalizer)
    end
    error(setmetatable({ (select(2, ...)) }, Exception), 0)
  end
end

local function settle(ok, ...)
  if ok then
    return ...
  end
  local failure = ...
  if type(failure) == "table" and getmetatable(failure) == Exception then
    return nil, failure[1]
  end
  error(failure, 0)
end

local function protect(f)
  return function(...)
    return settle(pcall(f, ...))
  end
end

local function skip(count, ...)
  return select(count + 1, ...)
end

function socket.install()
  if loaded.socket and rawget(loaded.socket, "is_tine") then
    return loaded.socket
  end
  local has_luasocket, luasocket = pcall(require, "socket")
  local made = {
    is_tine = true,
    tcp = socket.tcp,
    tcp4 = socket.tcp,
    connect = socket.connect,
    connect4 = socket.connect,
    sleep = tine.sleep,
    gettime = tine.time,
    newtry = newtry,
    try = newtry(),
    protect = protect,
    skip = skip,
  }
  loaded.socket = setmetatable(made, { __index = has_luasocket and type(luasocket) == "table" and luasocket or nil })
  loaded.ssl = ssl
  return made
end
