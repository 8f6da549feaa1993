-- With --reload and --debug: tells the server of the files that the app uses, before they are opened: what `require`
-- looks for and finds, what loadfile and dofile load, and what the app opens with Lua's own functions.

local host, driver = ...
local use_file = host.use_file
if not use_file then
  return
end

local error, package, pcall, type = error, package, pcall, type
local loadfile, dofile, open, lines, input, output, rename = loadfile, dofile, io.open, io.lines, io.input, io.output, os.rename

-- Each place where `path` has the module, up to the one where it is.
local function look_up(name, path)
  if type(name) ~= "string" or type(path) ~= "string" then
    return
  end
  name = name:gsub("%.", "/"):gsub("%%", "%%%%")
  for template in path:gmatch("[^;]+") do
    if use_file((template:gsub("%?", name)), "code") then
      return true
    end
  end
end

-- Looked up by the first searcher, that of package.preload, as it raises no errors, which would name this place.
local searchers = package.searchers or package.loaders
local search_preload = searchers[1]
searchers[1] = function(name, ...)
  local preload = package.preload
  local is_loaded = type(preload) == "table" and type(name) == "string" and preload[name] ~= nil
  if not is_loaded and not look_up(name, package.path) and not look_up(name, package.cpath) then
    look_up(type(name) == "string" and name:match("^([^.]+)%."), package.cpath)
  end
  return search_preload(name, ...)
end

-- Errors of these functions name the line of the app.
local function returned(ok, text, ...)
  if ok then
    return text, ...
  end
  if type(text) == "string" then
    driver.raise_in_app((text:gsub("^tine:%d+: ", "")))
  end
  error(text, 0)
end

function _G.loadfile(name, ...)
  if type(name) == "string" then
    use_file(name, "code")
  end
  return loadfile(name, ...)
end

function _G.dofile(name, ...)
  if type(name) == "string" then
    use_file(name, "code")
  end
  return dofile(name, ...)
end

function io.open(name, mode, ...)
  if type(name) == "string" then
    local only_reads = mode == nil or type(mode) == "string" and mode:find("^rb?$")
    use_file(name, only_reads and "read" or "written")
  end
  -- The number of arguments matters: nil is not a mode.
  if mode == nil then
    return returned(pcall(open, name))
  end
  return returned(pcall(open, name, mode, ...))
end

function io.lines(name, ...)
  if type(name) == "string" then
    use_file(name, "read")
  end
  if name == nil then
    return lines()
  end
  return returned(pcall(lines, name, ...))
end

function io.input(name, ...)
  if type(name) == "string" then
    use_file(name, "read")
  end
  if name == nil then
    return input()
  end
  return returned(pcall(input, name, ...))
end

function io.output(name, ...)
  if type(name) == "string" then
    use_file(name, "written")
  end
  if name == nil then
    return output()
  end
  return returned(pcall(output, name, ...))
end

function os.rename(from, to, ...)
  if type(to) == "string" then
    use_file(to, "written")
  end
  return rename(from, to, ...)
end
