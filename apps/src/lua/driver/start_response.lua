-- start_response: what an app says of its answer, checked where it says it.

local host, driver = ...
local complain = driver.complain
local error, next, type = error, next, type
local concat, sort, format = table.concat, table.sort, string.format
-- Lua 5.1 has but one kind of number.
local value_kind = math.type or function(value)
  return type(value) == "number" and "integer"
end

-- Each name and each value, with a NUL behind it: one string crosses the border, and no NUL can be smuggled in, since
-- the server counts them when it checks the head.
local function add(parts, name, value)
  if type(name) ~= "string" then
    complain("start_response: the name of a header is a string, not a " .. type(name))
  end
  local kind = type(value)
  if kind == "table" then
    for i = 1, #value do
      add(parts, name, value[i])
    end
    return
  elseif kind ~= "string" and kind ~= "number" then
    complain(format("start_response: the value of %s is a string, not a %s", name, kind))
  end
  parts[#parts + 1] = name
  parts[#parts + 1] = value
end

local function join(headers)
  if headers == nil then
    return "", 0
  elseif type(headers) ~= "table" then
    complain("start_response: the headers are a table, not a " .. type(headers))
  end
  local parts = {}
  if headers[1] ~= nil then
    for i = 1, #headers do
      local header = headers[i]
      if type(header) ~= "table" then
        complain(format("start_response: header %d is a table {name, value}, not a %s", i, type(header)))
      end
      add(parts, header[1], header[2])
    end
  else
    local names = {}
    for name in next, headers do
      if type(name) ~= "string" then
        complain("start_response: the name of a header is a string, not a " .. type(name))
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

-- Most apps send few different heads. Those that the server has seen it knows by a number; the way there is a tree: by
-- status, then by each name and each value in turn.
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

-- The branch of a node, made where there is room for it: of values that are new each time only the first are kept.
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
    -- To a table 1.0 is 1, which is sent as another text.
    if type(value) ~= "string" and value_kind(value) ~= "integer" then
      return nil
    end
  end
  -- From here on the first new branch is followed by new ones only, which have room: nothing grows but for a head that is
  -- kept in the end, and those are counted.
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

local function start(lane, status, headers, error_info)
  if driver.lane ~= lane then
    complain("start_response is called outside of its request")
  elseif lane.sent then
    if error_info then
      error(error_info, 0)
    end
    complain("start_response is called when the response has begun")
  elseif lane.status and not error_info then
    complain("start_response is called twice")
  end
  local number = number_of(status, headers)
  if not number then
    local spelled = status
    local kind = type(status)
    if kind == "number" then
      if not (status % 1 == 0 and status >= 0 and status < 1000) then
        complain(format("start_response: %s is not a status", status))
      end
      spelled = format("%d", status)
    elseif kind ~= "string" then
      complain("start_response: the status is a string such as \"200 OK\", or a number, not a " .. kind)
    end
    local joined, count = join(headers)
    local mistake = host.check_head(spelled, joined, count)
    if mistake then
      complain("start_response: " .. mistake)
    end
    lane.spelled, lane.joined = spelled, joined
    number = remember(status, spelled, headers, joined, count) or 0
  end
  lane.number, lane.status = number, status
end

return start
