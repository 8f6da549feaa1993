-- The application under chaos: answers with its process id, and fails on request.
local stat = assert(io.open("/proc/self/stat"))
local process = stat:read("*l"):match("^%d+")
stat:close()

local answers = {}

function answers.plain(environ)
  return environ.QUERY_STRING
end

function answers.sleep(environ)
  require("tine").sleep(0.03)
  return environ.QUERY_STRING
end

-- A stream of unknown length, in chunks, with pauses.
function answers.stream(environ)
  local left = 20
  return function()
    if left == 0 then
      return nil
    end
    left = left - 1
    require("tine").sleep(0.003)
    return left == 0 and environ.QUERY_STRING or ("x"):rep(1000)
  end
end

function answers.echo(environ)
  return environ["wsgi.input"]:read("a")
end

function answers.error()
  error("asked to fail")
end

function answers.exit()
  os.exit(9)
end

function answers.hang()
  while true do
  end
end

return {
  app = function(environ, start_response)
    start_response("200 OK", { ["X-Process"] = process })
    return answers[environ.PATH_INFO:sub(2)](environ)
  end,
}
