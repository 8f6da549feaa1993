-- Files for some clients only: tine run download.lua --sendfile-root public, then http://127.0.0.1:8080/file/index.html?key=open
--
-- The app decides whether a client gets a file, and the server sends it: with its type, validators and ranges if the app names it
-- (X-Sendfile), or just its bytes if the app has opened it (wsgi.file_wrapper).

-- A real application asks its session.
local function is_allowed(environ)
  return environ.QUERY_STRING == "key=open"
end

local function app(environ, start_response)
  local how, name = environ.PATH_INFO:match("^/(%w+)/(.+)$")
  if not is_allowed(environ) then
    start_response("403 Forbidden", { { "Content-Type", "text/plain" } })
    return "Say ?key=open.\n"
  elseif how == "file" then
    -- The server looks for it beneath the directories of --sendfile-root, and nowhere else.
    start_response("200 OK", { { "X-Sendfile", name }, { "Cache-Control", "private" } })
    return ""
  elseif how == "list" then
    -- A file that is made for this request.
    local file = io.tmpfile()
    for number = 1, tonumber(name) or 0 do
      file:write(number, "\n")
    end
    file:seek("set")
    start_response("200 OK", {
      { "Content-Type", "text/csv" },
      { "Content-Disposition", 'attachment; filename="numbers.csv"' },
    })
    return environ["wsgi.file_wrapper"](file)
  end
  start_response("404 Not Found", { { "Content-Type", "text/plain" } })
  return "404 Not Found\n"
end

return { app = app }
