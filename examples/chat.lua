-- A chat over server-sent events: `tine run chat.lua --workers 16`, then open http://127.0.0.1:8080/ in two windows.
--
-- What one worker is sent, the requests that wait in all workers get: by tine.publish and tine.subscribe. The last lines are
-- kept in a dictionary that the workers share, for those who come later. Both survive a reload.

local LINES_KEPT = 20
local LINE_BYTES_MAX = 1000
local KEEP_ALIVE = 15 -- seconds; a comment that shows clients and proxies that the stream lives

local history = tine.shared("chat", "1M")

local PAGE = [[<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width">
<title>Chat</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em }
#lines { min-height: 10em; padding: 0; list-style: none }
form { display: flex; gap: .5em }
[name=text] { flex: 1 }
</style>
<h1>Chat</h1>
<ul id=lines></ul>
<form id=form><input name=text placeholder=Message maxlength=500 autofocus required><button>Send</button></form>
<script>
const lines = document.getElementById('lines'), form = document.getElementById('form');
const show = text => { const line = document.createElement('li'); line.textContent = text; lines.append(line); };
const events = new EventSource('/events');
events.onopen = () => lines.replaceChildren();
events.onmessage = event => show(event.data);
events.addEventListener('lost', event => show(`(${event.data} messages were lost)`));
form.onsubmit = event => {
  event.preventDefault();
  fetch('/say', { method: 'POST', body: form.elements.text.value });
  form.reset();
};
</script>
]]

local function say(environ, start_response)
  local line = environ["wsgi.input"]:read(LINE_BYTES_MAX) or ""
  line = line:gsub("%c", " ")
  if line == "" then
    start_response("400 Bad Request", { ["Content-Type"] = "text/plain" })
    return "Say something.\n"
  end
  local number = history:incr("number", 1, 0)
  if number then
    history:set(("line %d"):format(number), line, 3600)
  end
  local ok, why = tine.publish("chat", line)
  if not ok then
    start_response("503 Service Unavailable", { ["Content-Type"] = "text/plain" })
    return why .. "\n"
  end
  start_response("204 No Content", {})
  return ""
end

-- The stream of a client: the last lines, then each line as it comes.
local function events(_, start_response)
  start_response("200 OK", { { "Content-Type", "text/event-stream" }, { "Cache-Control", "no-store" } })
  local messages = tine.subscribe("chat")
  return coroutine.wrap(function()
    local last = history:get("number") or 0
    local lines = { "retry: 500\n\n" }
    for number = math.max(1, last - LINES_KEPT + 1), last do
      local line = history:get(("line %d"):format(number))
      lines[#lines + 1] = line and ("data: %s\n\n"):format(line)
    end
    coroutine.yield(table.concat(lines))
    while true do
      local line, lost = messages:receive(KEEP_ALIVE)
      if line then
        local note = lost > 0 and ("event: lost\ndata: %d\n\n"):format(lost) or ""
        coroutine.yield(("%sdata: %s\n\n"):format(note, line))
      elseif lost == "closing" then
        return -- this worker ends, and the browser connects to another one
      else
        coroutine.yield(": still here\n\n")
      end
    end
  end)
end

function app(environ, start_response)
  local route = environ.REQUEST_METHOD .. " " .. environ.PATH_INFO
  if route == "POST /say" then
    return say(environ, start_response)
  elseif route == "GET /events" then
    return events(environ, start_response)
  elseif route == "GET /" then
    start_response("200 OK", { ["Content-Type"] = "text/html; charset=utf-8" })
    return PAGE
  end
  start_response("404 Not Found", { ["Content-Type"] = "text/plain" })
  return "404 Not Found\n"
end
