-- environ, as PEP 3333 defines it.
--
-- Most apps read the method, the path and a header or two. So everything else stays in the request's head until it is
-- looked up; pairs() fills the table and makes it an ordinary one.

local host, Input, Errors, file_wrapper = ...
local next, rawset = next, rawset

local RAW_HEAD = {}
local Environ = { __metatable = "environ is not complete: call pairs(environ) before it gets a metatable of yours" }

-- Those that are not part of the request.
local CONSTANTS = {
  SCRIPT_NAME = host.root_path,
  ["wsgi.version"] = { 1, 0 },
  ["wsgi.multithread"] = false,
  ["wsgi.multiprocess"] = host.is_multiprocess,
  ["wsgi.run_once"] = false,
  -- Reads end where the body does, whatever its framing, so an app needs no CONTENT_LENGTH.
  ["wsgi.input_terminated"] = true,
  ["wsgi.file_wrapper"] = file_wrapper,
  ["tine.version"] = host.version,
  ["tine.worker"] = host.worker,
}

-- A key that the app removes before looking it up must not be found in the head later.
function Environ.__newindex(environ, key, value)
  if value == nil then
    Environ.__pairs(environ) -- keys that the app has set or removed stay as they are
  end
  rawset(environ, key, value)
end

-- Keys of the request, wsgi.input, wsgi.errors and tine.unready are looked up by the server (sys/environ.rs).
local new_environ
new_environ, Environ.__index, Environ.__pairs =
  host.environ_functions(Environ, RAW_HEAD, CONSTANTS, Input, Errors, next)

-- Creates the environ of the running request.
return new_environ
