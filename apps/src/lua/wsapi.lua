-- The module tine.wsapi: WSAPI applications (Kepler's interface, that of Orbit) as WSGI ones. `tine.wsapi` is a function:
-- `return require("tine.wsapi")(app)`.
--
-- A WSAPI application is a function that gets wsapi_env, CGI's variables with `input` and `error`, and returns status,
-- headers and an iterator of the body. Here it runs in its request's coroutine, so it and its iterator may wait.

local tine = tine
local dofile, error, getmetatable, next, pcall, require = dofile, error, getmetatable, next, pcall, require
local setmetatable, tonumber, tostring, type = setmetatable, tonumber, tostring, type
local format, match, sub = string.format, string.match, string.sub

local NOT_A_WSAPI_APP = "a WSAPI application is a function, a table with a function `run`, or the name of a module or file"

local Input = {}
Input.__index = Input

-- As WSAPI has it: without a number all that CONTENT_LENGTH says, and nil at the end.
function Input:read(count)
  count = count or self.length
  if count <= 0 then
    return nil
  end
  local source = self.source
  if source then
    return source:read(count)
  end
  local from = self.at
  self.at = from + count
  local bytes = sub(self.bytes, from, from + count - 1)
  return bytes ~= "" and bytes or nil
end

-- Applications read as many bytes as CONTENT_LENGTH says. A chunked body does not say, so it is read first.
local function new_input(environ)
  local length = environ.CONTENT_LENGTH
  if length then
    return setmetatable({ length = tonumber(length) or 0, source = environ["wsgi.input"] }, Input)
  end
  local bytes = environ["wsgi.input"]:read()
  return setmetatable({ length = #bytes, bytes = bytes, at = 1 }, Input)
end

local MADE = {
  input = function(_, environ)
    return new_input(environ)
  end,
  error = function(_, environ)
    return environ["wsgi.errors"]
  end,
  CONTENT_LENGTH = function(env, environ)
    return environ.CONTENT_LENGTH or tostring(env.input.length)
  end,
}

-- Variables are looked up when they are read; those that there are not are the empty string.
local function new_env(environ, constants)
  return setmetatable({}, {
    __index = function(env, name)
      local value = constants[name]
      if value == nil then
        local make = MADE[name]
        if make then
          value = make(env, environ)
        else
          value = environ[name]
        end
      end
      if value == nil then
        value = ""
      end
      env[name] = value
      return value
    end,
  })
end

local function text_of(value)
  if type(value) == "number" and value % 1 == 0 then
    return format("%d", value) -- a length that was computed may be a float
  end
  return tostring(value)
end

-- A value that is a table is several fields.
local function list_of(headers)
  local list = {}
  for name, value in next, headers do
    if type(value) == "table" then
      for i = 1, #value do
        list[#list + 1] = { name, text_of(value[i]) }
      end
    else
      list[#list + 1] = { name, text_of(value) }
    end
  end
  return list
end

-- `false` ends the body as well.
local function body_of(iterator)
  if iterator == nil then
    return ""
  end
  return function()
    return iterator() or nil
  end
end

-- Splits the path after the name that the application is mounted at; nil: it is not beneath that.
local function info_of(path, name)
  if name == "" then
    return path
  elseif path == name then
    return "/"
  elseif sub(path, 1, #name + 1) == name .. "/" then
    return sub(path, #name + 1)
  end
end

local function adapt(run, options)
  local app_path, script_name = options.app_path, options.script_name or ""
  local constants = {
    APP_PATH = app_path,
    DOCUMENT_ROOT = options.document_root or app_path,
    GATEWAY_INTERFACE = "CGI/1.1",
    PATH_TRANSLATED = options.file,
    SCRIPT_FILENAME = options.file,
    SCRIPT_NAME = script_name,
    SERVER_SOFTWARE = "tine/" .. tine.version,
  }
  return function(environ, start_response)
    local info = info_of(environ.PATH_INFO, script_name)
    if not info then
      start_response("404 Not Found", { { "Content-Type", "text/plain; charset=utf-8" } })
      return "404 Not Found: the application is at " .. script_name .. "\n"
    end
    local env = new_env(environ, constants)
    env.PATH_INFO = info
    local status, headers, iterator = run(env)
    start_response(status or 500, list_of(headers or {}))
    return body_of(iterator)
  end
end

local function is_callable(value)
  local meta = getmetatable(value)
  return type(value) == "function" or type(meta) == "table" and type(meta.__call) == "function"
end

-- What runs, of what a module or a file returns.
local function run_of(app)
  if type(app) == "table" and is_callable(app.run) then
    return app.run
  elseif is_callable(app) then
    return app
  end
  error(NOT_A_WSAPI_APP, 0)
end

-- Applications find their files by this, while they are loaded.
local function set_app_path(path)
  local has_wsapi, wsapi = pcall(require, "wsapi")
  if has_wsapi and type(wsapi) == "table" then
    wsapi.app_path = path
  end
end

-- Options: `app_path`, the directory of its files; `script_name`, the path that it is at; `document_root`.
local function copy_of(options, file)
  options = options or {}
  local app_path = options.app_path or file and match(file, "^(.+)/[^/]*$") or "."
  return { file = file, app_path = app_path, script_name = options.script_name, document_root = options.document_root }
end

local wsapi = {}

-- What makes an application of what a launcher returns, a file such as hello.ws; its `name` is a field of that.
function wsapi.of_launcher(file)
  local options = copy_of(nil, file)
  set_app_path(options.app_path)
  return function(module, name)
    if name and type(module) == "table" then
      module = module[name]
    end
    return adapt(run_of(module), options)
  end
end

-- `app`: a function, a table with a function `run`, or the name of a module or of a file.
return setmetatable(wsapi, {
  __call = function(_, app, options)
    if type(app) ~= "string" then
      return adapt(run_of(app), copy_of(options))
    end
    local file = match(app, "%.lua$") or match(app, "%.ws$")
    options = copy_of(options, file and app)
    set_app_path(options.app_path)
    if file then
      app = dofile(app)
    else
      app = require(app)
    end
    return adapt(run_of(app), options)
  end,
})
