-- tine.shared: the dictionaries that all workers share. Their methods are the server's; what a wrong name or size raises
-- names the app's line.

local host, driver = ...
local raise_in_app = driver.raise_in_app
local open = host.open_shared

function tine.shared(name, size)
  if type(name) ~= "string" then
    raise_in_app("tine.shared takes a name and a size, such as \"10M\"")
  end
  local dictionary, why = open(name, size)
  if not dictionary then
    raise_in_app(why)
  end
  return dictionary
end
