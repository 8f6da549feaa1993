-- environ, as PEP 3333 defines it.
--
-- Most apps read the method, the path and a header or two. So everything else stays in the request's head until it is
-- looked up; pairs() fills the table and makes it an ordinary one.

local host, Input, Errors, file_wrapper = ...
local next, rawset, setmetatable = next, rawset, setmetatable

local RAW_HEAD = {}
local Environ = { __metatable = "environ is not complete: call pairs(environ) before it gets a metatable of yours" }

local new_environ, look_up, new_input

-- Those that are not part of the request.
local CONSTANTS = {
  SCRIPT_NAME = "",
  ["wsgi.version"] = { 1, 0 },
  ["wsgi.url_scheme"] = "http",
  ["wsgi.multithread"] = false,
  ["wsgi.multiprocess"] = host.is_multiprocess,
  ["wsgi.run_once"] = false,
  -- Reads end where the body does, whatever its framing, so an app needs no CONTENT_LENGTH.
  ["wsgi.input_terminated"] = true,
  ["wsgi.file_wrapper"] = file_wrapper,
  ["tine.version"] = host.version,
  ["tine.worker"] = host.worker,
}

local MADE = {
  ["wsgi.input"] = function(environ)
    return new_input(environ)
  end,
  ["wsgi.errors"] = function(environ)
    return setmetatable({ method = environ.REQUEST_METHOD, path = environ.PATH_INFO }, Errors)
  end,
  ["tine.unready"] = function()
    return host.is_lame_duck()
  end,
}

-- Keys and values in turn.
local constants = {}
for key, value in next, CONSTANTS do
  constants[#constants + 1] = key
  constants[#constants + 1] = value
end

-- Keys of the request, and its input, are looked up by the server (sys/environ.rs). pairs() makes what is in MADE there, too.
local function index(environ, key)
  local value = CONSTANTS[key]
  if value ~= nil then
    return value
  end
  local make = MADE[key]
  -- One that was looked up before and is gone was removed by the app.
  if not make or look_up(environ, key) then
    return nil
  end
  value = make(environ)
  rawset(environ, key, value)
  return value
end

-- A key that the app removes before looking it up must not be found in the head later.
function Environ.__newindex(environ, key, value)
  if value == nil then
    Environ.__pairs(environ) -- keys that the app has set or removed stay as they are
  end
  rawset(environ, key, value)
end

new_environ, Environ.__index, Environ.__pairs, look_up, new_input =
  host.environ_functions(Environ, RAW_HEAD, index, constants, Input, Errors, next)

-- Creates the environ of the running request.
return new_environ
