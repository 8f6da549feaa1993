-- Signed texts, and sessions in a cookie of that kind. Signed is not encrypted: the client can read it.
--
-- A token is PAYLOAD "." TIME "." MAC: the text in base64url, the second in which it was signed, and HMAC-SHA-256 of what
-- precedes. The key of the MAC is derived from the app's by what the token is for, so that one which was made for one
-- thing is worth nothing for another.

local host, own, web = ...
local crypto, json, raise_in_app = host.crypto, host.json, host.raise_in_app
local floor, format, ipairs, match, next, pairs, setmetatable, tonumber, type =
  math.floor, string.format, ipairs, string.match, next, pairs, setmetatable, tonumber, type
local time = tine.time

local KEY_BYTES_MIN = 16
-- By which the clocks of servers may differ.
local SKEW_SECONDS_MAX = 60
-- A client may have several cookies of a name, of which others' may come first.
local COOKIES_MAX = 4

local Signer = {}
Signer.__index = Signer

-- `keys`: the first one signs, and all of them verify. `purpose`: what the tokens are for.
function web.signer(options)
  if type(options.purpose) ~= "string" then
    raise_in_app("purpose is a string, what the tokens are for")
  end
  local signer = { keys = {}, max_age = options.max_age }
  for number, key in ipairs(type(options.keys) == "table" and options.keys or {}) do
    if type(key) ~= "string" or #key < KEY_BYTES_MIN then
      raise_in_app(format("key %d is not a string of at least %d bytes", number, KEY_BYTES_MIN))
    end
    signer.keys[number] = crypto.hmac_sha256(key, "tine.web " .. options.purpose)
  end
  if #signer.keys == 0 then
    raise_in_app("there is no key: keys is a list of strings that only the servers know")
  end
  return setmetatable(signer, Signer)
end

function Signer:sign(text)
  local signed = format("%s.%d", crypto.to_base64url(text), floor(time()))
  return signed .. "." .. crypto.to_base64url(crypto.hmac_sha256(self.keys[1], signed))
end

local function is_signed(signer, signed, mac)
  local found = false
  for _, key in ipairs(signer.keys) do
    found = crypto.equal(crypto.hmac_sha256(key, signed), mac) or found
  end
  return found
end

-- The text of a token; nil and why if it was not signed here, or was signed more than `max_age` seconds ago.
function Signer:verify(token, max_age)
  local payload, at, mac = match(type(token) == "string" and token or "", "^([A-Za-z0-9_-]*)%.(%d+)%.([A-Za-z0-9_-]+)$")
  mac = mac and crypto.from_base64url(mac)
  if not mac or not is_signed(self, payload .. "." .. at, mac) then
    return nil, "not signed"
  end
  max_age = max_age or self.max_age
  local age = time() - tonumber(at)
  if max_age and (age > max_age or age < -SKEW_SECONDS_MAX) then
    return nil, "expired"
  end
  return crypto.from_base64url(payload)
end

local Sessions = {}
Sessions.__index = Sessions

local DEFAULTS = { name = "session", max_age = 14 * 86400, httponly = true, samesite = "Lax" }

-- `keys`, `name`, `max_age`, and the attributes of the cookie.
function web.sessions(options)
  local cookie = {}
  for name, value in pairs(DEFAULTS) do
    cookie[name] = value
  end
  for name, value in pairs(options) do
    cookie[name] = value
  end
  local name = cookie.name
  cookie.keys, cookie.name = nil, nil
  local _, why = web.cookie(name, "", cookie)
  if why then
    raise_in_app(why)
  end
  local signer = web.signer({ keys = options.keys, purpose = "session " .. name, max_age = cookie.max_age })
  return setmetatable({ name = name, options = cookie, signer = signer }, Sessions)
end

-- The session of a request, a table; empty if there is none, and then why.
function Sessions:open(request)
  local why = "no cookie"
  for number, token in ipairs(web.all(request.cookies, self.name)) do
    if number > COOKIES_MAX then
      break
    end
    local text, wrong = self.signer:verify(token)
    local session = text and json.decode(text)
    if type(session) == "table" then
      return session
    end
    why = wrong or "malformed"
  end
  return {}, why
end

-- The value of a Set-Cookie header which makes the client keep this session; an empty one is deleted. Nil and why if it cannot
-- be kept.
function Sessions:cookie(session)
  if next(session) == nil then
    local options = { max_age = 0 }
    for name, value in pairs(self.options) do
      options[name] = name == "max_age" and 0 or value
    end
    return web.cookie(self.name, "", options)
  end
  local text, why = json.encode(session)
  if not text then
    return nil, why
  end
  return web.cookie(self.name, self.signer:sign(text), self.options)
end
