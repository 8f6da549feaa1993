-- Echoes the messages of WebSockets: `tine run websocket.lua`, then connect to ws://127.0.0.1:8080/, for example in the console
-- of a browser: s = new WebSocket("ws://127.0.0.1:8080/"); s.onmessage = e => console.log(e.data); s.send("hello")

local function echo(ws)
  for message, kind in ws:messages() do
    ws:send(message, kind)
  end
end

function app(environ)
  return tine.websocket(environ, echo)
end
