-- A WSAPI application, as for Xavante, CGI or uWSGI: tine run wsapi.lua
--
-- tine.wsapi makes a WSGI application of it. One of Orbit's, or any other with a launcher, runs without this file:
-- cd /usr/share/doc/lua-orbit/hello && tine run hello.ws (Orbit is written for Lua 5.1: with LuaJIT).

local wsapi = require("tine.wsapi")

local function run(wsapi_env)
  local name = wsapi_env.QUERY_STRING:match("^name=(%w+)$") or "World"
  local headers = { ["Content-Type"] = "text/plain", ["Set-Cookie"] = { "seen=1", "name=" .. name } }
  local body = coroutine.wrap(function()
    coroutine.yield("Hello, ")
    tine.sleep(0.01) -- other requests are served meanwhile
    coroutine.yield(name .. "!\n")
  end)
  return 200, headers, body
end

return { app = wsapi(run) }
