-- Visits, counted in a Redis: REDIS=127.0.0.1:6379 tine run redis.lua; over TLS: REDIS_CA=ca.pem, the authority of its certificate.
-- While one request waits for the Redis, its worker serves the others; a connection that has answered is left in a pool for
-- the next request.

local host, port = (os.getenv("REDIS") or "127.0.0.1:6379"):match("^(.*):(%d+)$")
local ca = os.getenv("REDIS_CA")

-- Sends one command and returns the answer, a text or a number; or nil and why there is none.
local function redis(...)
  local socket, why = tine.socket.connect(host, port)
  if not socket then
    return nil, why
  end
  socket:settimeout(2)
  if ca then
    -- On a connection of the pool this was done before: nothing is sent.
    local shaken, refused = socket:sslhandshake(nil, host, ca)
    if not shaken then
      return nil, refused
    end
  end
  local command = { "*" .. select("#", ...) .. "\r\n" }
  for _, word in ipairs({ ... }) do
    command[#command + 1] = "$" .. #word .. "\r\n" .. word .. "\r\n"
  end
  local sent, send_failed = socket:send(command)
  if not sent then
    return nil, send_failed
  end
  local line, receive_failed = socket:receive("*l")
  if not line then
    return nil, receive_failed
  end
  local kind, rest = line:sub(1, 1), line:sub(2)
  local answer = kind == ":" and tonumber(rest) or rest
  if kind == "$" and rest ~= "-1" then
    answer, why = socket:receive(tonumber(rest) + 2)
    if not answer then
      return nil, why
    end
    answer = answer:sub(1, -3)
  end
  socket:setkeepalive()
  if kind == "-" then
    return nil, rest
  end
  return answer
end

local function app(environ, start_response)
  local visits, why = redis("INCR", "visits:" .. environ.PATH_INFO)
  if not visits then
    start_response("503 Service Unavailable", { { "Content-Type", "text/plain" } })
    return "the Redis does not answer: " .. why .. "\n"
  end
  start_response("200 OK", { { "Content-Type", "text/plain" } })
  return ("visit %d\n"):format(visits)
end

return { app = app }
