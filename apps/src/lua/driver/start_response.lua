-- start_response: status and headers, checked at the app's call. The server calls this only for what it has not sent
-- before (sys/calls.rs).

local host, driver = ...
local raise_in_app = driver.raise_in_app
local error, next, type = error, next, type
local concat, sort, format = table.concat, table.sort, string.format

-- Joins all names and values, each followed by a NUL: a single string crosses the boundary, and no NUL can be smuggled
-- in, since the server counts them when it checks the head.
local function add(parts, name, value)
  if type(name) ~= "string" then
    raise_in_app("start_response: the name of a header is a string, not a " .. type(name))
  end
  local kind = type(value)
  if kind == "table" then
    for i = 1, #value do
      add(parts, name, value[i])
    end
    return
  elseif kind ~= "string" and kind ~= "number" then
    raise_in_app(format("start_response: the value of %s is a string, not a %s", name, kind))
  end
  parts[#parts + 1] = name
  parts[#parts + 1] = value
end

local function join(headers)
  if headers == nil then
    return "", 0
  elseif type(headers) ~= "table" then
    raise_in_app("start_response: the headers are a table, not a " .. type(headers))
  end
  local parts = {}
  if headers[1] ~= nil then
    for i = 1, #headers do
      local header = headers[i]
      if type(header) ~= "table" then
        raise_in_app(format("start_response: header %d is a table {name, value}, not a %s", i, type(header)))
      end
      add(parts, header[1], header[2])
    end
  else
    local names = {}
    for name in next, headers do
      if type(name) ~= "string" then
        raise_in_app("start_response: the name of a header is a string, not a " .. type(name))
      end
      names[#names + 1] = name
    end
    sort(names)
    for i = 1, #names do
      add(parts, names[i], headers[names[i]])
    end
  end
  local count = #parts / 2
  if count == 0 then
    return "", 0
  end
  return concat(parts, "\0") .. "\0", count
end

local function start(co, status, headers, error_info)
  if driver.current ~= co then
    raise_in_app("start_response is called outside of its request")
  elseif co.sent then
    if error_info then
      error(error_info, 0)
    end
    raise_in_app("start_response is called when the response has begun")
  elseif host.is_started() and not error_info then
    raise_in_app("start_response is called twice")
  end
  local kind = type(status)
  if kind == "number" then
    if not (status % 1 == 0 and status >= 0 and status < 1000) then
      raise_in_app(format("start_response: %s is not a status", status))
    end
    status = format("%d", status)
  elseif kind ~= "string" then
    raise_in_app("start_response: the status is a string such as \"200 OK\", or a number, not a " .. kind)
  end
  local mistake = host.start(status, join(headers))
  if mistake then
    raise_in_app("start_response: " .. mistake)
  end
end

return start
