-- A small example application:        tine run examples/docs/app.lua
-- or, as a module:                    tine run docs.app:app --app-dir examples
--
-- Routes, a form, an upload of any length in constant memory, a report that is sent while it is made, a cookie, JSON, a
-- redirect and errors, in plain Lua that runs under Lua 5.4 and LuaJIT. The contract is in docs/lua.md.

local tine = require("tine")

local FORM_BYTES_MAX = 64 * 1024
local READ_BYTES = 64 * 1024

-- Text ----------------------------------------------------------------------------------------------------------------

-- Everything that a client has sent is escaped when it is put into HTML. The parentheses drop gsub's second result.
local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }
local function escape(text)
  return (text:gsub("[&<>\"']", ENTITIES))
end

-- Text that is not UTF-8 is passed on as it is. If that matters, use a library such as lua-cjson.
local function json_string(text)
  local escaped = text:gsub('[%c"\\]', function(character)
    return ("\\u%04x"):format(character:byte())
  end)
  return '"' .. escaped .. '"'
end

local function url_decode(text)
  text = text:gsub("+", " "):gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end)
  return text
end

-- The fields of a query or a form, "name=Ada&city=London", as a table. If a name occurs twice, the last value counts.
local function fields_of(text)
  local fields = {}
  for name, value in text:gmatch("([^&=]+)=?([^&]*)") do
    fields[url_decode(name)] = url_decode(value)
  end
  return fields
end

local function cookies_of(environ)
  local cookies = {}
  for name, value in (environ.HTTP_COOKIE or ""):gmatch("([^=;%s]+)=([^;]*)") do
    cookies[name] = value
  end
  return cookies
end

-- Responses: status, content type, body, more headers
-- ------------------------------------------------------------------

local function page(title, body, headers)
  local html = ("<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><title>%s</title>\n<h1>%s</h1>\n%s\n"):format(
    escape(title), escape(title), body)
  return "200 OK", "text/html; charset=utf-8", html, headers
end

local function failure(status, headers)
  return status, "text/plain; charset=utf-8", status .. "\n", headers
end

-- Routes: each gets the environ and returns a response
-- ------------------------------------------------------------------

local function index()
  return page("An application in Lua", [[
<form action=/greet method=post><input name=name placeholder="Your name"> <button>Greet me</button></form>
<ul>
<li><a href="/report?lines=5">A report that is sent while it is made</a>
<li><a href=/visits>A count of your visits</a>, kept in a cookie
<li><a href="/request?a=1">The request as JSON</a>
<li><a href=/old>A redirect</a>
<li><code>curl -T file http://127.0.0.1:8080/upload</code>
</ul>]])
end

local function greet(environ)
  -- Reads at most this much, whatever Content-Length says. The server itself stops at --max-body.
  local body = environ["wsgi.input"]:read(FORM_BYTES_MAX + 1) or ""
  if #body > FORM_BYTES_MAX then
    return failure("413 Payload Too Large")
  end
  local name = fields_of(body).name
  if name == nil or name == "" then
    return failure("400 Bad Request")
  end
  return page("Hello, " .. name .. "!", '<p><a href="/">Back</a></p>')
end

-- Read piece by piece: while no data arrives, the worker serves other requests, and the client sends no faster than
-- this reads.
local function upload(environ)
  local input, bytes, lines = environ["wsgi.input"], 0, 0
  while true do
    local piece = input:read(READ_BYTES)
    if piece == nil then
      break
    end
    bytes = bytes + #piece
    lines = lines + select(2, piece:gsub("\n", ""))
  end
  return "200 OK", "application/json", ('{"bytes":%d,"lines":%d}\n'):format(bytes, lines)
end

-- The body may be a function that is called for each chunk until it returns nil. It is called when the client has taken
-- the previous chunks. During tine.sleep the worker serves other requests.
local function report(environ)
  local lines = tonumber(fields_of(environ.QUERY_STRING).lines) or 10
  local body = coroutine.wrap(function()
    for line = 1, math.min(lines, 1000) do
      coroutine.yield(("line %d of the report\n"):format(line))
      tine.sleep(0.1)
    end
  end)
  return "200 OK", "text/plain; charset=utf-8", body
end

-- A client may send anything in a cookie, so only a short number is accepted.
local function visits(environ)
  local seen = tonumber((cookies_of(environ).visits or ""):match("^%d%d?%d?%d?$")) or 0
  local cookie = ("visits=%d; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"):format(seen + 1)
  return page("Visit " .. seen + 1, '<p><a href=/visits>Again</a></p>', { { "Set-Cookie", cookie } })
end

local function request(environ)
  local names, members = {}, {}
  local query = fields_of(environ.QUERY_STRING)
  for name in pairs(query) do
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    members[i] = json_string(name) .. ":" .. json_string(query[name])
  end
  return "200 OK", "application/json", ('{"method":%s,"path":%s,"agent":%s,"query":{%s}}\n'):format(
    json_string(environ.REQUEST_METHOD),
    json_string(environ.PATH_INFO),
    json_string(environ.HTTP_USER_AGENT or ""),
    table.concat(members, ","))
end

local function old()
  return failure("303 See Other", { { "Location", "/" } })
end

local routes = {
  ["/"] = { GET = index },
  ["/greet"] = { POST = greet },
  ["/upload"] = { POST = upload, PUT = upload },
  ["/report"] = { GET = report },
  ["/visits"] = { GET = visits },
  ["/request"] = { GET = request },
  ["/old"] = { GET = old },
}

local function find(environ)
  local route = routes[environ.PATH_INFO]
  if route == nil then
    return failure("404 Not Found")
  end
  -- HEAD is handled like GET; the server omits the body.
  local method = environ.REQUEST_METHOD == "HEAD" and "GET" or environ.REQUEST_METHOD
  if route[method] == nil then
    local allowed = {}
    for name in pairs(route) do
      allowed[#allowed + 1] = name
    end
    table.sort(allowed)
    return failure("405 Method Not Allowed", { { "Allow", table.concat(allowed, ", ") } })
  end
  return route[method](environ)
end

local function app(environ, start_response)
  local status, content_type, body, headers = find(environ)
  headers = headers or {}
  headers[#headers + 1] = { "Content-Type", content_type }
  start_response(status, headers)
  return body
end

return { app = app }
