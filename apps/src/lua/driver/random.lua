-- math.random draws other numbers in each worker and after each start. By itself LuaJIT always begins with the same, and
-- Lua 5.4 with those of the second and of an address, which workers have in common that were forked together.

local host = ...
local seed, select = math.randomseed, select

-- Without an argument LuaJIT asks the system, as is done here for Lua 5.4.
if not jit then
  function math.randomseed(...)
    if select("#", ...) == 0 then
      return seed(host.draw(), host.draw())
    end
    return seed(...)
  end
end

math.randomseed()
