-- start_response: status and headers, checked at the app's call.

local host, driver = ...
local raise_in_app = driver.raise_in_app
local error, next, type = error, next, type
local concat, sort, format = table.concat, table.sort, string.format
-- Lua 5.1 has only one kind of number.
local value_kind = math.type or function(value)
  return type(value) == "number" and "integer"
end

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

-- Most apps send few different heads. The server keeps each that it has seen under a number; a tree leads to the
-- number: by status, then by each name and value in turn.
local heads, heads_count = {}, 0
local NUMBER, BRANCHES = {}, {}
local HEADS_MAX, BRANCHES_MAX, LENGTH_MAX = 256, 16, 256

local function number_of(status, headers)
  local node = heads[status]
  if not node or type(headers) ~= "table" then
    return nil
  end
  local count = #headers
  if count == 0 and next(headers) ~= nil then
    return nil
  end
  for i = 1, count do
    local header = headers[i]
    node = node[header[1]]
    local value = header[2]
    node = node and value ~= nil and node[value]
    if not node then
      return nil
    end
  end
  return node[NUMBER]
end

-- The branch of a node, created if there is room: of values that differ each time only the first are kept.
local function branch(node, key)
  local found = node[key]
  if not found then
    local branches = node[BRANCHES] or 0
    if branches >= BRANCHES_MAX then
      return nil
    end
    found = {}
    node[BRANCHES], node[key] = branches + 1, found
  end
  return found
end

local function remember(status, spelled, headers, joined, count)
  if heads_count >= HEADS_MAX or #joined > LENGTH_MAX or #(headers or "") ~= count then
    return nil
  end
  for i = 1, count do
    local value = headers[i][2]
    -- As table keys 1.0 and 1 are the same, but they are sent as different text.
    if type(value) ~= "string" and value_kind(value) ~= "integer" then
      return nil
    end
  end
  -- Below the first new branch all branches are new and have room: the tree grows only for heads that are kept in the
  -- end, and their number is limited.
  local node = branch(heads, status)
  for i = 1, count do
    local header = headers[i]
    node = node and branch(node, header[1])
    node = node and branch(node, header[2])
  end
  if node then
    heads_count = heads_count + 1
    node[NUMBER] = host.keep_head(spelled, joined, count)
    return node[NUMBER]
  end
end

local function start(co, status, headers, error_info)
  if driver.current ~= co then
    raise_in_app("start_response is called outside of its request")
  elseif co.sent then
    if error_info then
      error(error_info, 0)
    end
    raise_in_app("start_response is called when the response has begun")
  elseif co.status and not error_info then
    raise_in_app("start_response is called twice")
  end
  local number = number_of(status, headers)
  if not number then
    local spelled = status
    local kind = type(status)
    if kind == "number" then
      if not (status % 1 == 0 and status >= 0 and status < 1000) then
        raise_in_app(format("start_response: %s is not a status", status))
      end
      spelled = format("%d", status)
    elseif kind ~= "string" then
      raise_in_app("start_response: the status is a string such as \"200 OK\", or a number, not a " .. kind)
    end
    local joined, count = join(headers)
    local mistake = host.check_head(spelled, joined, count)
    if mistake then
      raise_in_app("start_response: " .. mistake)
    end
    co.spelled, co.joined = spelled, joined
    number = remember(status, spelled, headers, joined, count) or 0
  end
  co.number, co.status = number, status
end

return start
