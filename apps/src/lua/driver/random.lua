-- Seeds math.random differently in each worker and at each start. By default LuaJIT always uses the same seed, and Lua
-- 5.4 uses the time in seconds and an address, which workers that were forked together share.

local host = ...
local seed, select = math.randomseed, select

-- Without an argument LuaJIT takes a seed from the system; this does the same for Lua 5.4.
if not jit then
  function math.randomseed(...)
    if select("#", ...) == 0 then
      return seed(host.random_integer(), host.random_integer())
    end
    return seed(...)
  end
end

math.randomseed()
