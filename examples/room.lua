-- A chat over WebSocket: `tine run room.lua --workers 16`, then open http://127.0.0.1:8080/ in two windows.
--
-- Each connection has two coroutines. One receives from its client and publishes; the other receives what any client of any
-- worker has said, and sends it. A client that reads slowly is told how much it has missed.

local LINE_BYTES_MAX = 1000

local PAGE = [[<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width">
<title>Room</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em }
#lines { min-height: 10em; padding: 0; list-style: none }
form { display: flex; gap: .5em }
[name=text] { flex: 1 }
</style>
<h1>Room</h1>
<ul id=lines></ul>
<form id=form><input name=text placeholder=Message maxlength=500 autofocus required><button>Send</button></form>
<script>
const lines = document.getElementById('lines'), form = document.getElementById('form');
const show = text => { const line = document.createElement('li'); line.textContent = text; lines.append(line); };
let socket;
function connect() {
  socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`);
  socket.onmessage = event => show(event.data);
  socket.onclose = () => setTimeout(connect, 500);
}
connect();
form.onsubmit = event => {
  event.preventDefault();
  socket.send(form.elements.text.value);
  form.reset();
};
</script>
]]

-- Sends what is said in the room.
local function listen(ws, room)
  while true do
    local line, lost = room:receive()
    if not line then
      return -- this worker ends: its WebSockets are closed with 1001, and the browsers connect to another one
    elseif lost > 0 then
      ws:send(("(%d messages were lost)"):format(lost))
    end
    ws:send(line)
  end
end

local function talk(ws)
  ws:spawn(listen, ws, tine.subscribe("room"))
  tine.publish("room", "(a visitor has come)")
  for line, kind in ws:messages() do
    if kind == "binary" then
      ws:close(1003, "only text")
    elseif #line > LINE_BYTES_MAX then
      ws:close(1009, "too long")
    else
      tine.publish("room", line)
    end
  end
  -- However the connection has ended.
  tine.publish("room", "(a visitor has left)")
end

function app(environ, start_response)
  if environ.PATH_INFO == "/ws" then
    -- Browsers send the origin of the page, and let pages of any site connect.
    local origin = environ.HTTP_ORIGIN
    if origin and origin:match("://(.*)$") ~= environ.HTTP_HOST then
      start_response("403 Forbidden", { ["Content-Type"] = "text/plain" })
      return "This is not for pages of other sites.\n"
    end
    return tine.websocket(environ, talk)
  elseif environ.PATH_INFO == "/" then
    start_response("200 OK", { ["Content-Type"] = "text/html; charset=utf-8" })
    return PAGE
  end
  start_response("404 Not Found", { ["Content-Type"] = "text/plain" })
  return "404 Not Found\n"
end
