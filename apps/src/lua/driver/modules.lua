-- Modules that cost nothing until an app requires them.

local host, driver = ...
local open, raise_in_app = host.open_module, driver.raise_in_app

local function load(name)
  return open(name, raise_in_app)
end

for _, name in ipairs({ "tine.json", "tine.crypto", "tine.web", "tine.wsapi" }) do
  package.preload[name] = load
end
