-- tine.metrics: what an app counts, exact over all workers. Arguments are checked by the server; its errors are raised
-- here, so that they name the app's line.

local host, driver = ...
local raise_in_app = driver.raise_in_app
local declare = host.declare_metric
local type = type

local function checked(why)
  if why then
    raise_in_app(why)
  end
end

-- The metatable's __index of each kind: its methods. `values`: those of the labels, in their order.
local methods = { counter = {}, gauge = {}, histogram = {} }

function methods.counter:inc(number, values)
  checked(self.change("add", number == nil and 1 or number, values))
end

function methods.gauge:set(number, values)
  checked(self.change("set", number, values))
end

function methods.gauge:inc(number, values)
  checked(self.change("add", number == nil and 1 or number, values))
end

function methods.histogram:observe(number, values)
  checked(self.change("observe", number, values))
end

local metrics = {}
for kind, index in pairs(methods) do
  local metatable = { __index = index }
  -- `more`: how a gauge adds up, or the bounds of a histogram.
  metrics[kind] = function(name, help, labels, more)
    if type(name) ~= "string" or type(help) ~= "string" then
      raise_in_app("tine.metrics." .. kind .. " takes a name, a help text and a list of labels")
    end
    local change, why = declare(kind, name, help, labels, more)
    checked(why)
    return setmetatable({ change = change }, metatable)
  end
end

tine.metrics = metrics
