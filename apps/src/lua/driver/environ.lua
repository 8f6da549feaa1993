-- environ, as PEP 3333 has it.
--
-- Most apps look at method and path and at a header or two. So the rest lies in the request's head until somebody asks
-- for it; pairs() makes the table complete, and an ordinary one.

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
  -- A read beyond the body ends, whatever its framing: so an app may read without CONTENT_LENGTH.
  ["wsgi.input_terminated"] = true,
  ["tine.version"] = host.version,
  ["tine.worker"] = host.worker,
}

local MADE = {
  ["wsgi.input"] = function(environ, head)
    local lane = driver.lane
    local is_current = lane and lane.environ == environ
    -- Who has it may still read it, also when the key was removed.
    if is_current and lane.input then
      return lane.input
    end
    local input = new_input(is_current and host.has_body(head))
    if is_current then
      lane.input = input
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
  local lane = driver.lane
  local is_current = lane and lane.environ == environ
  -- It was looked up before and is gone: the app has removed it.
  if is_current and lane.fetched[key] == lane.serial then
    return nil
  end
  local head = rawget(environ, RAW_HEAD)
  local make = MADE[key]
  if make then
    value = make(environ, head)
  elseif type(key) == "string" then
    -- Of a request that is over nobody can ask who sent it.
    value = host.field(head, key, is_current)
  end
  if value ~= nil then
    rawset(environ, key, value)
    if is_current then
      local fetched = lane.fetched
      if fetched[key] == nil then
        lane.fetched_count = lane.fetched_count + 1
      end
      fetched[key] = lane.serial
    end
  end
  return value
end

function Environ.__pairs(environ)
  local head, lane = rawget(environ, RAW_HEAD), driver.lane
  local is_current = lane and lane.environ == environ
  local fetched, serial = lane and lane.fetched, lane and lane.serial
  for key, make in next, MADE do
    if rawget(environ, key) == nil and not (is_current and fetched[key] == serial) then
      rawset(environ, key, make(environ, head))
    end
  end
  -- What the app has set by now is its own, and so is what it has removed.
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

-- What the app removes without a look at it is not to be found in the head afterwards.
function Environ.__newindex(environ, key, value)
  if value == nil then
    Environ.__pairs(environ)
  end
  rawset(environ, key, value)
end

-- The environ of a request; the lane that answers it begins with it.
return function(method, path, query, head)
  return setmetatable({ REQUEST_METHOD = method, PATH_INFO = path, QUERY_STRING = query, [RAW_HEAD] = head }, Environ)
end
