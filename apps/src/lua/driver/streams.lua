-- wsgi.input and wsgi.errors.

local host, driver, wait = ...
local raise_in_app, READ, NUMBER = driver.raise_in_app, driver.READ, driver.NUMBER
local READ_ALL, READ_LINE, READ_MIN = driver.READ_ALL, driver.READ_LINE, driver.READ_MIN
local take_body, take_arrived, is_running = host.take_body, host.take_arrived, host.is_running_input
local ipairs, setmetatable, type = ipairs, setmetatable, type
local concat, min, sub = table.concat, math.min, string.sub

local Input = {}
Input.__index = Input

local BYTES_MAX = 2 ^ 40

-- `wanted`: a number of bytes, READ_ALL, or READ_LINE for a line with its end. Returns less where the body ends.
local function receive(input, wanted)
  if input.ended then
    return ""
  end
  if not is_running(input) then
    raise_in_app("wsgi.input is read outside of its request")
  end
  wait(READ + NUMBER * (min(wanted, BYTES_MAX) - READ_MIN))
  local bytes, ended = take_body()
  input.ended = ended
  return bytes
end

local function read_line(input, keep)
  local line = receive(input, READ_LINE)
  if line == "" then
    return nil
  end
  if not keep and line:sub(-1) == "\n" then
    line = line:sub(1, -2)
  end
  return line
end

-- Like Lua's file:read: without a count, the rest of the body, or "" at the end; with a count, that many bytes, fewer
-- where the body ends, nil at the end. The formats "a", "l" and "L" are supported, too.
function Input:read(count)
  local arrived = take_arrived(self, count)
  if arrived then
    return arrived
  end
  if count == nil or count == "a" or count == "*a" then
    return receive(self, READ_ALL)
  elseif type(count) == "number" and count >= 0 and count % 1 == 0 then
    local bytes = receive(self, count)
    if bytes == "" and (count > 0 or self.ended) then
      return nil
    end
    return bytes
  elseif count == "l" or count == "*l" or count == "L" or count == "*L" then
    return read_line(self, count:sub(-1) == "L")
  end
  raise_in_app("wsgi.input:read takes a number of bytes, or \"a\", \"l\" or \"L\"")
end

function Input:read_line()
  return read_line(self)
end

function Input:lines()
  return function()
    return read_line(self)
  end
end

local Errors = {}
Errors.__index = Errors

function Errors:write(...)
  local text = concat({ ... })
  if sub(text, -1) == "\n" then
    text = sub(text, 1, -2)
  end
  host.log("error", text, self.method, self.path)
  return self
end

function Errors:writelines(lines)
  for _, line in ipairs(lines) do
    self:write(line)
  end
end

function Errors:flush() end

return Input, Errors
