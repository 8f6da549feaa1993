-- os.execute and io.popen: commands get the soft limit of open files that the server was started with, not the one that
-- it has raised for its connections. Lowering the limit around the call would not do: with more connections than it
-- allows, io.popen has no descriptor for its pipe.

local host = ...
local limit = host.open_files_before
if not limit then
  return
end

local before = ("ulimit -S -n %d 2>/dev/null; "):format(limit)
local execute, popen = os.execute, io.popen
local type = type

local function is_command(command)
  return type(command) == "string" or type(command) == "number"
end

-- Tail calls: errors about arguments name the app's line.
function os.execute(command, ...)
  if is_command(command) then
    command = before .. command
  end
  return execute(command, ...)
end

function io.popen(command, ...)
  if is_command(command) then
    command = before .. command
  end
  return popen(command, ...)
end
