-- The smallest application:   tine run examples/hello.lua
--
-- An application is a function. It gets the request as a table, `environ`, and a function that begins the response.
-- What it returns is the body. The whole contract is in docs/lua.md.

local function app(environ, start_response)
  start_response("200 OK", { { "Content-Type", "text/plain; charset=utf-8" } })
  return "Hello, you asked for " .. environ.PATH_INFO .. "\n"
end

return { app = app }
