-- Checks a server from inside, in the spirit of Python's wsgiref.validate: `validate.wrap(app)` is an app that checks
-- everything that it gets from the server and what the server does with its result. `validate.report()` returns the
-- violations, one line each, and the number of checks, which shows whether some were not made.

local validate = {}
local violations, checks, open, environs = {}, 0, 0, setmetatable({}, { __mode = "k" })
local current -- the current request, for the messages

local function check(holds, text, ...)
  checks = checks + 1
  if not holds and #violations < 100 then
    violations[#violations + 1] = current .. ": " .. text:format(...)
  end
  return holds
end

function validate.report()
  return ("%d open\n%s"):format(open, table.concat(violations, "\n")), checks
end

-- environ -------------------------------------------------------------------------------------------------------------

local STRINGS = {
  REQUEST_METHOD = "^[%u][%u%-]*$",
  SCRIPT_NAME = "^$",
  PATH_INFO = "^[/*]",
  QUERY_STRING = "",
  CONTENT_TYPE = "",
  CONTENT_LENGTH = "^%d*$",
  SERVER_NAME = ".",
  SERVER_PORT = "^%d+$",
  SERVER_PROTOCOL = "^HTTP/1%.[01]$",
  REMOTE_ADDR = "^[%x.:]+$",
  REMOTE_PORT = "^%d+$",
  REQUEST_URI = "^[/*h]",
  ["wsgi.url_scheme"] = "^https?$",
  ["tine.version"] = "^%d+%.%d+%.%d+",
}
local BOOLEANS = { "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated" }
local METHODS = { ["wsgi.input"] = { "read", "read_line", "lines" }, ["wsgi.errors"] = { "write", "writelines", "flush" } }

local function check_values(environ)
  for key, pattern in pairs(STRINGS) do
    local value = environ[key]
    if key == "CONTENT_LENGTH" and environ.HTTP_TRANSFER_ENCODING then
      check(value == nil, "a chunked body has the length %q", value)
      value = ""
    end
    if check(type(value) == "string", "%s is a string, not a %s", key, type(value)) then
      check(value:find(pattern), "%s is %q", key, value)
      check(key == "PATH_INFO" or not value:find("[\r\n]"), "%s has a line end: %q", key, value)
    end
  end
  for _, key in ipairs(BOOLEANS) do
    check(type(environ[key]) == "boolean", "%s is a boolean, not a %s", key, type(environ[key]))
  end
  check(environ["wsgi.multithread"] == false, "one thread calls the app")
  check(type(environ["tine.worker"]) == "number", "tine.worker is a number")
  local version = environ["wsgi.version"]
  check(type(version) == "table" and #version == 2 and version[1] == 1 and version[2] == 0, "wsgi.version is {1, 0}")
  for key, names in pairs(METHODS) do
    for _, name in ipairs(names) do
      local object = environ[key]
      check(object and type(object[name]) == "function", "%s has a method %s", key, name)
    end
  end
  check(environ.HTTP_CONTENT_TYPE == nil and environ.HTTP_CONTENT_LENGTH == nil, "the body's fields are not HTTP_*")
  check(environ.NO_SUCH_KEY == nil and environ.HTTP_NO_SUCH_FIELD == nil, "a key that is not there is nil")
  local uri, query = environ.REQUEST_URI, environ.QUERY_STRING
  check((uri:match("%?(.*)") or "") == query, "QUERY_STRING is what follows the question mark of %q: %q", uri, query)
end

local function check_environ(environ)
  if not check(type(environ) == "table", "environ is a table, not a %s", type(environ)) then
    return
  end
  check(not environs[environ], "each request has an environ of its own")
  environs[environ] = true
  local host = environ.HTTP_HOST -- before any other key is looked up
  check_values(environ)
  local seen = {}
  for key, value in pairs(environ) do
    check(type(key) == "string", "the keys are strings, not %s", type(key))
    check(not seen[key], "%s comes twice", key)
    seen[key] = true
    check(rawequal(environ[key], value), "%s is the same by name and by pairs", key)
    if key:find("^HTTP_") then
      check(key:find("^HTTP_[%u%d_!#$%%&'*+.^`|~]+$"), "%s is written in capitals", key)
      check(type(value) == "string" and not value:find("[\r\n%z]"), "%s is one line: %q", key, tostring(value))
    end
  end
  check(environ.HTTP_HOST == host, "HTTP_HOST has not changed")
  for _, keys in ipairs({ STRINGS, METHODS }) do
    for key in pairs(keys) do
      check(seen[key] or (key == "CONTENT_LENGTH" and environ[key] == nil), "pairs leaves out %s", key)
    end
  end
  check_values(environ)
  environ["validate.own"] = 1
  environ.SCRIPT_NAME = "/own"
  check(environ["validate.own"] == 1 and environ.SCRIPT_NAME == "/own", "environ is the app's to change")
  environ.SCRIPT_NAME = ""
end

-- wsgi.input and wsgi.errors ------------------------------------------------------------------------------------------

-- Counts what the app reads.
local function checked_input(environ)
  local input, length, total, ended = environ["wsgi.input"], tonumber(environ.CONTENT_LENGTH), 0, false
  local checked = {}
  local function note(text, what)
    if text == nil or text == "" then
      if not ended then
        ended = true
        check(not length or total == length, "%s bytes were announced and %d read", length, total)
      end
    else
      check(type(text) == "string", "%s returns strings", what)
      check(not ended, "%s returns nothing after the end", what)
      total = total + #text
      check(not length or total <= length, "no more can be read than was announced")
    end
    return text
  end
  function checked:read(count)
    check((input:read(0) or "") == "", "read(0) returns nothing")
    local text = input:read(count)
    if count then
      check(text == nil or #text <= count, "read(%d) returns no more", count)
      if length and not ended then
        check(#(text or "") == math.min(count, length - total), "read(%d) is short only at the end", count)
      end
    else
      check(type(text) == "string", "read() returns a string in any case")
      total, ended = total + #text, true
      check(not length or total == length, "read() returns all: %s bytes were announced and %d read", length, total)
      check(input:read() == "" and input:read(1) == nil and input:read_line() == nil, "and nothing after it")
      return text
    end
    return note(text, "read(n)")
  end
  function checked:lines()
    local step = input:lines()
    return function()
      local line = step()
      check(line == nil or type(line) == "string" and not line:find("\n"), "a line is a string without its end")
      return line
    end
  end
  function checked:read_line()
    local line = input:read_line()
    check(line == nil or type(line) == "string" and not line:find("\n"), "a line is a string without its end")
    return line
  end
  environ["wsgi.input"] = checked
end

local lines_written = 0
local function check_errors(environ)
  lines_written = lines_written + 1
  if lines_written > 3 then
    return -- they are in the log of a test that fails
  end
  local errors = environ["wsgi.errors"]
  check(pcall(errors.write, errors, "validate: a line\n"), "wsgi.errors:write takes a text")
  check(pcall(errors.writelines, errors, { "validate: one\n", "validate: another\n" }), "writelines takes texts")
  check(pcall(errors.flush, errors), "flush can be called")
end

-- start_response ------------------------------------------------------------------------------------------------------

local REFUSED = {
  { {}, {} },
  { nil, {} },
  { 200.5, {} },
  { "200 OK", "Content-Type: text/plain" },
  { "200 OK", { "Content-Type" } },
  { "200 OK", { { 1, "x" } } },
  { "200 OK", { { "X-A", print } } },
}

local function checked_start(start_response)
  check(type(start_response) == "function", "start_response is a function")
  for i, arguments in ipairs(REFUSED) do
    check(not pcall(start_response, arguments[1], arguments[2]), "start_response refuses wrong arguments (%d)", i)
  end
  local count = 0
  return function(...)
    count = count + 1
    local results = select("#", start_response(...))
    check(results == 0, "start_response returns nothing")
    local ok, message = pcall(start_response, "200 OK", {})
    check(not ok and type(message) == "string", "start_response can be called once")
    if count == 1 then
      check(pcall(start_response, (...), (select(2, ...)), "an error"), "but again with an error's information")
    end
  end
end

-- The response --------------------------------------------------------------------------------------------------------

-- An iterable that checks how it is called.
local function checked_iterable(request, step, state, control, close)
  open = open + 1
  local is_inside, is_over, closed, last = false, false, 0, control
  local iterable = {}
  local function body(self, given_state, given_control)
    current = request
    check(self == iterable, "the iterable is called as itself")
    check(not is_inside, "it is not called again while it runs")
    check(not is_over, "it is not called again after its end")
    check(closed == 0, "it is not called again after it was closed")
    is_inside = true
    local first, second = step(state, last)
    current = request
    is_inside = false
    last = first
    if first == nil then
      is_over = true
      return nil
    end
    if second == nil then
      return first
    end
    return second
  end
  function iterable.close(self)
    current = request
    check(self == iterable, "close is called on the iterable")
    closed = closed + 1
    check(closed == 1, "close is called once")
    if closed == 1 then
      open = open - 1
    end
    if close then
      close()
    end
  end
  return setmetatable(iterable, { __call = body })
end

-- A generic-for triple that checks its arguments.
local function checked_triple(request, step, state, control)
  local expected_control, is_over, is_inside = control, false, false
  return function(given_state, given_control)
    current = request
    check(rawequal(given_state, state), "the state is passed back")
    check(rawequal(given_control, expected_control), "the control is the first value before: %s, not %s",
      tostring(expected_control), tostring(given_control))
    check(not is_over and not is_inside, "it is called once at a time, and not after its end")
    is_inside = true
    local first, second = step(given_state, given_control)
    is_inside = false
    expected_control, is_over = first, first == nil
    return first, second
  end, state, control
end

function validate.wrap(app)
  return function(...)
    local environ, start_response = ...
    local request = ("%s %s"):format(tostring(environ.REQUEST_METHOD), tostring(environ.PATH_INFO))
    current = request
    check(select("#", ...) == 2, "the app is called with environ and start_response")
    check_environ(environ)
    check_errors(environ)
    checked_input(environ)
    local first, state, control = app(environ, checked_start(start_response))
    current = request
    if type(first) ~= "function" then
      if type(first) == "table" and getmetatable(first) then
        return checked_iterable(request, function() return first() end, nil, nil, function()
          if first.close then first:close() end
        end)
      end
      return first
    elseif state ~= nil then
      return checked_triple(request, first, state, control)
    end
    return checked_iterable(request, first, state, control)
  end
end

return validate
