-- luasec's module `ssl` over tine.socket: wrap(socket, parameters), then sni and dohandshake. What a parameter asks for is done, or it
-- is refused.

local driver, Socket = ...
local raise_in_app = driver.raise_in_app
local ipairs, pairs, tostring, type = ipairs, pairs, tostring, type

local protocols = { any = true, sslv23 = true }
-- These are so in any case; options that forbid a version that could be chosen are not.
local options_that_hold = {
  all = true,
  no_sslv2 = true,
  no_sslv3 = true,
  no_tlsv1 = true,
  no_tlsv1_1 = true,
  no_compression = true,
  no_renegotiation = true,
  single_dh_use = true,
  single_ecdh_use = true,
}
local verifications = { none = false, peer = true, fail_if_no_peer_cert = true, client_once = true }

-- A parameter that is a name, or a list of names.
local function each(value)
  return ipairs(type(value) == "table" and value or { value })
end

local checks = {
  mode = function(value)
    return value == "client"
  end,
  protocol = function(value)
    return protocols[value]
  end,
  options = function(value)
    for _, name in each(value) do
      if not options_that_hold[name] then
        return false
      end
    end
    return true
  end,
  verify = function(value)
    for _, name in each(value) do
      if verifications[name] == nil then
        return false
      end
    end
    return true
  end,
  cafile = function(value)
    return type(value) == "string"
  end,
}

local ssl = {}

-- The socket itself, which dohandshake then verifies as the parameters say.
function ssl.wrap(socket, parameters)
  if not driver.handle_of(socket) then
    return nil, "ssl.wrap takes a connected socket of tine.socket"
  elseif type(parameters) ~= "table" then
    return nil, "ssl.wrap takes a table of parameters"
  end
  for name, value in pairs(parameters) do
    if not checks[name] or not checks[name](value) then
      return nil, "tine.socket does not support this of ssl.wrap: " .. tostring(name) .. " = " .. tostring(value)
    end
  end
  local verify = false
  for _, name in each(parameters.verify) do
    verify = verify or verifications[name]
  end
  socket.verify = verify and (parameters.cafile or true)
  return socket
end

function Socket:sni(name)
  if type(name) ~= "string" then
    raise_in_app("sni takes the name of the server")
  end
  self.server_name = name
end

function Socket:dohandshake()
  if self.verify == nil then
    raise_in_app("dohandshake follows ssl.wrap")
  end
  return self:sslhandshake(nil, self.server_name, self.verify)
end

return ssl
