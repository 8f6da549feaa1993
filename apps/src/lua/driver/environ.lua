-- environ, as PEP 3333 defines it.
--
-- Most apps read the method, the path and a header or two. So everything else stays in the request's head until it is
-- looked up; pairs() fills the table and makes it an ordinary one.

local host, driver, new_input, new_errors = ...
local next, rawget, rawset, setmetatable, type = next, rawget, rawset, setmetatable, type
local bare_setmetatable = debug.setmetatable

local RAW_HEAD = {}
local Environ = { __metatable = "environ is not complete: call pairs(environ) before it gets a metatable of yours" }

local CONSTANTS = {
  SCRIPT_NAME = "",
  ["wsgi.version"] = { 1, 0 },
  ["wsgi.url_scheme"] = "http",
  ["wsgi.multithread"] = false,
  ["wsgi.multiprocess"] = host.is_multiprocess,
  ["wsgi.run_once"] = false,
  -- Reads end where the body does, whatever its framing, so an app needs no CONTENT_LENGTH.
  ["wsgi.input_terminated"] = true,
  ["tine.version"] = host.version,
  ["tine.worker"] = host.worker,
}

local MADE = {
  ["wsgi.input"] = function(environ, head)
    local co = driver.current
    local is_current = co and co.environ == environ
    -- The same object as before, even if the app has removed the key in between.
    if is_current and co.input then
      return co.input
    end
    local input = new_input(is_current and host.has_body(head))
    if is_current then
      co.input = input
    end
    return input
  end,
  ["wsgi.errors"] = function(environ)
    return new_errors(environ.REQUEST_METHOD, environ.PATH_INFO)
  end,
  ["tine.unready"] = function()
    return host.is_lame_duck()
  end,
}

function Environ.__index(environ, key)
  local value = CONSTANTS[key]
  if value ~= nil then
    return value
  end
  local co = driver.current
  local is_current = co and co.environ == environ
  -- It was looked up before and is gone, so the app has removed it.
  if is_current and co.fetched[key] == co.serial then
    return nil
  end
  local head = rawget(environ, RAW_HEAD)
  local make = MADE[key]
  if make then
    value = make(environ, head)
  elseif type(key) == "string" then
    -- Once a request is over, its connection's addresses are not available.
    value = host.field(head, key, is_current)
  end
  if value ~= nil then
    rawset(environ, key, value)
    if is_current then
      local fetched = co.fetched
      if fetched[key] == nil then
        co.fetched_count = co.fetched_count + 1
      end
      fetched[key] = co.serial
    end
  end
  return value
end

function Environ.__pairs(environ)
  local head, co = rawget(environ, RAW_HEAD), driver.current
  local is_current = co and co.environ == environ
  local fetched, serial = co and co.fetched, co and co.serial
  for key, make in next, MADE do
    if rawget(environ, key) == nil and not (is_current and fetched[key] == serial) then
      rawset(environ, key, make(environ, head))
    end
  end
  -- Keys that the app has set or removed stay as they are.
  local own = {}
  for key, value in next, environ do
    own[key] = value
  end
  bare_setmetatable(environ, nil)
  host.fields(environ, head, is_current)
  for key, value in next, CONSTANTS do
    environ[key] = value
  end
  for key, value in next, own do
    environ[key] = value
  end
  environ[RAW_HEAD] = nil
  if is_current then
    for key, of in next, fetched do
      if of == serial and own[key] == nil then
        environ[key] = nil
      end
    end
  end
  return next, environ, nil
end

-- A key that the app removes before looking it up must not be found in the head later.
function Environ.__newindex(environ, key, value)
  if value == nil then
    Environ.__pairs(environ)
  end
  rawset(environ, key, value)
end

-- Creates the environ of a request.
return function(method, path, query, head)
  return setmetatable({ REQUEST_METHOD = method, PATH_INFO = path, QUERY_STRING = query, [RAW_HEAD] = head }, Environ)
end
