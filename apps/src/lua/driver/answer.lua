-- Sends what the app returns: whole, or chunk by chunk.

local host, driver = ...
local is_started = host.is_started
local WHOLE, HEAD, CHUNK, END, LENGTH = driver.WHOLE, driver.HEAD, driver.CHUNK, driver.END, driver.LENGTH
local SEAL, AT_ONCE, CLOSES, NUMBER, FILE = driver.SEAL, driver.AT_ONCE, driver.CLOSES, driver.NUMBER, driver.FILE
local FileWrapper = driver.FileWrapper
local raw_yield = driver.raw_yield
local websocket_answer, serve_websocket = driver.websocket_answer, driver.serve_websocket
local error, getmetatable, ipairs, next, pcall = error, getmetatable, ipairs, next, pcall
local rawget, tostring, type = rawget, tostring, type
local concat, format = table.concat, string.format
local ipairs_step, io_type = ipairs({}), io.type
-- Lists up to this size are sent as one string: copying costs less than a call across the boundary for each chunk.
local JOINED_BYTES_MAX = 64 * 1024

local function not_started()
  error("the app did not call start_response", 0)
end

local function text_of(chunk)
  local kind = type(chunk)
  if kind == "string" then
    return chunk
  elseif kind == "number" then
    return tostring(chunk)
  end
  error(format("a chunk of the response is a string, not a %s", kind), 0)
end

local function whole(chunk)
  if not is_started() then
    not_started()
  end
  return WHOLE, text_of(chunk)
end

-- As `whole`, when what the app returned has to be closed: that may take long, so the response is sent first.
local function whole_before_close(co, chunk)
  if not co.close then
    return whole(chunk)
  end
  local what, text = whole(chunk)
  raw_yield(SEAL, what + CLOSES, text)
  driver.current = co
  return END
end

-- Yields a chunk, and continues once there is room for the next. `at_once`: 0 or AT_ONCE.
local function send(co, chunk, at_once)
  if chunk == "" then
    return
  end
  chunk = text_of(chunk)
  if co.sent then
    raw_yield(SEAL, CHUNK + at_once, chunk)
  else
    if not is_started() then
      not_started()
    end
    co.sent = true
    raw_yield(SEAL, HEAD + at_once, chunk)
  end
  driver.current = co
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

-- Remembers what is to be called when the response is over, however it ends: `close` of the iterable or of its state,
-- or what a generic `for` would close.
local function find_close(co, iterable, state, closing)
  co.close, co.closed = method_of(iterable, "close"), iterable
  if not co.close then
    co.close, co.closed = method_of(state, "close"), state
  end
  if co.close then
    return
  end
  local meta = closing ~= nil and getmetatable(closing)
  if type(meta) == "table" and type(meta.__close) == "function" then
    co.close, co.closed = meta.__close, closing
  end
end

local function finish_stream(co)
  if co.sent then
    return END
  end
  return whole_before_close(co, "")
end

-- Going through a table calls none of the app's code, unless a metatable provides missing elements.
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

local function stream(co, step, state, control)
  co.step = step
  local is_plain = state == nil and control == nil
  -- next(), the step of pairs(), ignores metatables. After the last chunk there may be something to close.
  local at_once = step == next and not co.close and AT_ONCE or 0
  while true do
    local first, second = step(state, control)
    if first == nil then
      co.step = nil
      return finish_stream(co)
    end
    control = first
    -- The chunk is the second loop value; a plain iterator function has only one.
    if second == nil and is_plain then
      second = first
    end
    send(co, second, at_once)
  end
end

-- Chunks that all exist already: the total length is sent with them.
local function list(co, chunks)
  if not is_started() then
    not_started()
  end
  local bytes = 0
  for i = 1, #chunks do
    local chunk = text_of(chunks[i])
    chunks[i], bytes = chunk, bytes + #chunk
  end
  if bytes <= JOINED_BYTES_MAX then
    return whole_before_close(co, concat(chunks))
  end
  raw_yield(SEAL, LENGTH + NUMBER * bytes)
  driver.current = co
  for i = 1, #chunks do
    -- After the last chunk there may be something to close.
    send(co, chunks[i], (i < #chunks or not co.close) and AT_ONCE or 0)
  end
  return END
end

-- A file that was wrapped: the kernel sends it from its position on. What has no descriptor or no length, a pipe for
-- example, is read block by block, and so is what seems to be empty, as files in /proc do.
local function file(co, wrapper)
  local handle = wrapper.file
  local at = io_type(handle) == "file" and handle:seek()
  if not at or not host.open_body(handle, at) then
    return stream(co, wrapper)
  elseif not is_started() then
    not_started()
  end
  co.sent = true
  raw_yield(SEAL, FILE)
  driver.current = co
  return END
end

local function is_callable(object)
  local meta = getmetatable(object)
  return type(meta) == "table" and type(meta.__call) == "function"
end

-- Sends what `app` returned: the step, state, control and closing value of a generic `for`.
return function(co, step, state, control, closing)
  local kind = type(step)
  if kind == "string" or kind == "number" then
    return whole(step)
  elseif step == ipairs_step and control == 0 and type(state) == "table" and not getmetatable(state) then
    -- nibiru's apps return a list like this.
    find_close(co, nil, state, closing)
    local chunks = {}
    for i, chunk in step, state, control do
      chunks[i] = chunk
    end
    return list(co, chunks)
  elseif kind == "function" then
    find_close(co, nil, state, closing)
    return stream(co, step, state, control)
  elseif kind == "table" or kind == "userdata" then
    if getmetatable(step) == websocket_answer then
      -- No tail call, which a traceback would show.
      return (serve_websocket(co, step))
    end
    find_close(co, step, state, closing)
    if getmetatable(step) == FileWrapper then
      return file(co, step)
    elseif is_callable(step) then
      return stream(co, step, state, control)
    elseif kind == "table" then
      local length = #step
      if length <= 1 then
        local chunk = step[1]
        if chunk == nil then
          chunk = ""
        end
        return whole_before_close(co, chunk)
      end
      if not is_at_hand(step, length) then
        for i = 1, length do
          send(co, step[i], 0)
        end
        return finish_stream(co)
      end
      local chunks = {}
      for i = 1, length do
        local chunk = step[i]
        if chunk == nil then
          text_of(chunk) -- raises the error
        end
        chunks[i] = chunk
      end
      return list(co, chunks)
    end
  end
  error(format("the app returned a %s; it returns an iterator, a table of strings or a string", kind), 0)
end
