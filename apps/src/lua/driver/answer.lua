-- What the app returns: whole, or handed over chunk by chunk.

local driver = ...
local WHOLE, HEAD, CHUNK, END, LENGTH = driver.WHOLE, driver.HEAD, driver.CHUNK, driver.END, driver.LENGTH
local SEAL, AT_ONCE, CLOSES, raw_yield = driver.SEAL, driver.AT_ONCE, driver.CLOSES, driver.raw_yield
local error, getmetatable, ipairs, next, pcall = error, getmetatable, ipairs, next, pcall
local rawget, tostring, type = rawget, tostring, type
local concat, format = table.concat, string.format
local ipairs_step = ipairs({})
-- A list of no more is sent as one string: to copy it costs less than to cross the border for each chunk.
local JOINED_BYTES_MAX = 64 * 1024

local function not_started()
  error("the app did not call start_response", 0)
end

-- What the chunk is, is seen on the other side.
local function whole(lane, chunk)
  if not lane.status then
    not_started()
  end
  local number = lane.number
  if number > 0 then
    return WHOLE + 16 * number, chunk
  end
  return WHOLE, chunk, lane.spelled, lane.joined
end

-- As `whole`, where the app has returned something to be closed: that may take its time, so the answer is sent before.
local function whole_before_close(lane, chunk)
  if not lane.close then
    return whole(lane, chunk)
  end
  local what, text, spelled, joined = whole(lane, chunk)
  raw_yield(SEAL, what + CLOSES, text, spelled, joined)
  driver.lane = lane
  return END
end

local function check_chunk(chunk)
  if type(chunk) ~= "string" and type(chunk) ~= "number" then
    error(format("a chunk of the response is a string, not a %s", type(chunk)), 0)
  end
end

-- Hands a chunk over, and goes on once there is room for the next. `at_once`: 0 or AT_ONCE.
local function send(lane, chunk, at_once)
  if chunk == "" then
    return
  end
  check_chunk(chunk)
  if lane.sent then
    raw_yield(SEAL, CHUNK + at_once, chunk)
  else
    if not lane.status then
      not_started()
    end
    lane.sent = true
    local number = lane.number
    if number > 0 then
      raw_yield(SEAL, HEAD + at_once + 16 * number, chunk)
    else
      raw_yield(SEAL, HEAD + at_once, chunk, lane.spelled, lane.joined)
    end
  end
  driver.lane = lane
end

local function method_of(object, name)
  local kind = type(object)
  if kind ~= "table" and kind ~= "userdata" then
    return nil
  end
  -- A userdata need not be indexable.
  local ok, method = pcall(function()
    return object[name]
  end)
  return ok and type(method) == "function" and method or nil
end

-- Remembers what is to be called when the response is over, however it ends: `close` of the iterable or of its state, or
-- what a generic `for` would close.
local function find_close(lane, iterable, state, closing)
  lane.close, lane.closed = method_of(iterable, "close"), iterable
  if not lane.close then
    lane.close, lane.closed = method_of(state, "close"), state
  end
  if lane.close then
    return
  end
  local meta = closing ~= nil and getmetatable(closing)
  if type(meta) == "table" and type(meta.__close) == "function" then
    lane.close, lane.closed = meta.__close, closing
  end
end

local function finish_stream(lane)
  if lane.sent then
    return END
  end
  return whole_before_close(lane, "")
end

-- To go through a table is to call nothing of the app's, unless a metatable has what is not there.
local function is_at_hand(chunks, length)
  if getmetatable(chunks) ~= nil then
    for i = 1, length do
      if rawget(chunks, i) == nil then
        return false
      end
    end
  end
  return true
end

local function stream(lane, step, state, control)
  lane.step = step
  local is_plain = state == nil and control == nil
  -- The step of pairs() takes nothing from a metatable. After the last one there may be something to be closed.
  local at_once = step == next and not lane.close and AT_ONCE or 0
  while true do
    local first, second = step(state, control)
    if first == nil then
      lane.step = nil
      return finish_stream(lane)
    end
    control = first
    -- The chunk is the second loop value; a plain iterator function has but one.
    if second == nil and is_plain then
      second = first
    end
    send(lane, second, at_once)
  end
end

-- Chunks that are all there: with the length of all.
local function list(lane, chunks)
  if not lane.status then
    not_started()
  end
  local bytes = 0
  for i = 1, #chunks do
    local chunk = chunks[i]
    check_chunk(chunk)
    chunk = tostring(chunk)
    chunks[i], bytes = chunk, bytes + #chunk
  end
  if bytes <= JOINED_BYTES_MAX then
    return whole_before_close(lane, concat(chunks))
  end
  raw_yield(SEAL, LENGTH + 16 * bytes)
  driver.lane = lane
  for i = 1, #chunks do
    -- After the last one there may be something to be closed.
    send(lane, chunks[i], (i < #chunks or not lane.close) and AT_ONCE or 0)
  end
  return END
end

local function is_callable(object)
  local meta = getmetatable(object)
  return type(meta) == "table" and type(meta.__call) == "function"
end

-- Sends what `app` returned for the request of this lane: the step, state, control and closing value of a generic `for`.
return function(lane, step, state, control, closing)
  -- A list of one, as the commonest apps return it. `#` is without surprises where `state[2]` might not be.
  if step == ipairs_step and control == 0 and #state == 1 and not state.close then
    return whole(lane, state[1])
  end
  local kind = type(step)
  if kind == "string" or kind == "number" then
    return whole(lane, step)
  elseif step == ipairs_step and control == 0 and type(state) == "table" and not getmetatable(state) then
    -- As nibiru's apps return a list.
    find_close(lane, nil, state, closing)
    local chunks = {}
    for i, chunk in step, state, control do
      chunks[i] = chunk
    end
    return list(lane, chunks)
  elseif kind == "function" then
    find_close(lane, nil, state, closing)
    return stream(lane, step, state, control)
  elseif kind == "table" or kind == "userdata" then
    find_close(lane, step, state, closing)
    if is_callable(step) then
      return stream(lane, step, state, control)
    elseif kind == "table" then
      local length = #step
      if length <= 1 then
        local chunk = step[1]
        if chunk == nil then
          chunk = ""
        end
        return whole_before_close(lane, chunk)
      end
      if not is_at_hand(step, length) then
        for i = 1, length do
          send(lane, step[i], 0)
        end
        return finish_stream(lane)
      end
      local chunks = {}
      for i = 1, length do
        local chunk = step[i]
        if chunk == nil then
          check_chunk(chunk)
        end
        chunks[i] = chunk
      end
      return list(lane, chunks)
    end
  end
  error(format("the app returned a %s; it returns an iterator, a table of strings or a string", kind), 0)
end
