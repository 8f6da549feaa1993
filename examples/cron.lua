-- Work beside the requests: `tine run cron.lua --workers 4`, then `curl localhost:8080/` a few times.
--
-- One worker of the whole server sums up the visits once a minute; when it dies or is replaced, another one goes on. A visit is
-- noted after its response, so that no client waits for that.

local SECONDS = tonumber(os.getenv("SECONDS")) or 60

local visits = tine.shared("visits", "1M")
local answered = 0

-- It looks more often than there is something to do, and the dictionary knows when that was done last: so a reload, with which all
-- timers begin anew, neither skips nor repeats it.
tine.every(math.min(1, SECONDS / 2), function()
  if tine.is_elected() and visits:add("summed up", true, SECONDS) then
    local count = visits:get("new") or 0
    if count > 0 then
      visits:incr("new", -count)
      tine.log("info", count .. " visits since the last sum, summed up in worker " .. tine.worker)
    end
  end
end)

tine.on_start(function()
  tine.log("debug", "worker " .. tine.worker .. " begins")
end)

tine.on_stop(function()
  tine.log("info", "worker " .. tine.worker .. " has answered " .. answered .. " requests")
end)

local function note(path)
  tine.sleep(0.05) -- something slow, for example an insert into a database by tine.socket
  visits:incr("new", 1, 0)
  visits:incr("path " .. path, 1, 0)
end

function app(environ, start_response)
  answered = answered + 1
  local count = visits:get("path " .. environ.PATH_INFO) or 0
  tine.finish(note, environ.PATH_INFO)
  start_response("200 OK", { ["Content-Type"] = "text/plain; charset=utf-8" })
  return ("%d visits before this one\n"):format(count)
end
