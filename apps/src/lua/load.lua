-- Finds the application. Takes the module's name, the path if it is a file, and the name of the callable or nil;
-- returns the application, or nil, an error message and a traceback.

local module_name, file, wanted = ...
local source = file or module_name
local name = wanted or "app"

local function is_callable(value)
  if type(value) == "function" then
    return true
  end
  local kind = type(value)
  if kind ~= "table" and kind ~= "userdata" then
    return false
  end
  local meta = getmetatable(value)
  return type(meta) == "table" and type(meta.__call) == "function"
end

local traceback
local function handler(message)
  traceback = debug.traceback("", 2)
  local meta = debug.getmetatable(message)
  if type(message) == "string" or type(message) == "number" or (type(meta) == "table" and meta.__tostring) then
    return message
  end
  -- Such a value has no message, so tell where it was raised.
  local level, info = 2, nil
  repeat
    info = debug.getinfo(level, "Sl")
    level = level + 1
  until not info or info.currentline > 0
  local where = info and ("%s:%d: "):format(info.short_src, info.currentline) or ""
  return ("%s(error object is a %s value)"):format(where, type(message))
end

local function text_of(message)
  local ok, text = pcall(tostring, message)
  return ok and text or "(error object that cannot be shown)", traceback
end

-- nibiru's framework finds its configuration through this module.
if package.searchpath("nibiru.boot_parameters", package.path) then
  local ok, parameters = xpcall(require, handler, "nibiru.boot_parameters")
  if not ok then
    return nil, text_of(parameters)
  end
  if type(parameters) == "table" then
    parameters.app_module = module_name
  end
end

-- WSAPI's launchers return an application of WSAPI's, which finds its files by the directory of the launcher.
local wsapi
if file and file:find("%.ws$") then
  wsapi = require("tine.wsapi").of_launcher(file)
end

local module
if file then
  local chunk, message = loadfile(source)
  if not chunk then
    return nil, message
  end
  local ok, result = xpcall(chunk, handler)
  if not ok then
    return nil, text_of(result)
  end
  module = result
  if module == nil then
    module = _G
  end
else
  local ok, result = xpcall(require, handler, source)
  if not ok then
    -- Lua's list of searched places is long; those in the user's own directories are enough.
    if type(result) == "string" and result:find("^module '" .. source:gsub("%p", "%%%0") .. "' not found") then
      return nil, "module_not_found"
    end
    -- "error loading module 'x' from file './x.lua':\n\t./x.lua:3: ...": the second line says it all.
    if type(result) == "string" then
      result = result:gsub("^error loading module '[^']*' from file '[^']*':%s*", "")
    end
    return nil, text_of(result)
  end
  module = result
end

if wsapi then
  local ok, app = xpcall(wsapi, handler, module, wanted)
  if not ok then
    return nil, text_of(app)
  end
  return app
end

local found
if wanted == nil and is_callable(module) then
  found = module
elseif type(module) == "table" or type(module) == "userdata" then
  found = module[name]
end
if not is_callable(found) then
  local what = found == nil and "there is none of that name" or "it is a " .. type(found)
  return nil, ("`%s` is not a valid callable of %s: %s"):format(name, source, what)
end
return found
