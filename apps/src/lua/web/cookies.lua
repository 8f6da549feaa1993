-- Cookies: those of a request, and the values of Set-Cookie (RFC 6265 and the draft that follows it).

local host, own, web = ...
local to_utf8 = host.to_utf8
local add, trim = own.add, own.trim
local find, format, gmatch, lower, sub = string.find, string.format, string.gmatch, string.lower, string.sub
local concat, ipairs, pairs, tostring, type = table.concat, ipairs, pairs, tostring, type

-- What browsers keep of one cookie, attributes included.
local COOKIE_BYTES_MAX = 4096
local SECONDS_MAX = 400 * 86400 -- browsers keep none for longer

-- The Cookie header as fields. A value in quotes is what they enclose; a pair without a name is none.
function own.parse_cookies(text)
  local cookies = {}
  for pair in gmatch(text, "[^;]+") do
    local equals = find(pair, "=", 1, true)
    local name = equals and trim(sub(pair, 1, equals - 1)) or ""
    if name ~= "" then
      local value = trim(sub(pair, equals + 1))
      if #value > 1 and find(value, '^"') and sub(value, -1) == '"' then
        value = sub(value, 2, -2)
      end
      add(cookies, to_utf8(name), to_utf8(value))
    end
  end
  return cookies
end

local SAME_SITE = { strict = "Strict", lax = "Lax", none = "None" }

-- Each attribute: its text for a value, or nil and what would be right.
local ATTRIBUTES = {
  path = function(path)
    if path == false then
      return ""
    elseif type(path) == "string" and find(path, "^/") and not find(path, "[%c;\128-\255]") then
      return "; Path=" .. path
    end
    return nil, "begins with a slash and is ASCII without a semicolon"
  end,
  domain = function(domain)
    if type(domain) == "string" and find(domain, "^%.?[A-Za-z0-9][A-Za-z0-9.-]*$") then
      return "; Domain=" .. domain
    end
    return nil, "is the name of a host"
  end,
  max_age = function(seconds)
    if type(seconds) ~= "number" or seconds ~= seconds then
      return nil, "is a number of seconds"
    end
    seconds = seconds < 0 and 0 or seconds > SECONDS_MAX and SECONDS_MAX or seconds
    return format("; Max-Age=%d", seconds - seconds % 1)
  end,
  expires = function(time)
    local date = web.date(time)
    return date and "; Expires=" .. date, "is a time in seconds since 1970"
  end,
  samesite = function(value)
    local word = type(value) == "string" and SAME_SITE[lower(value)]
    return word and "; SameSite=" .. word, 'is "Strict", "Lax" or "None"'
  end,
}
for attribute, text in pairs({ secure = "; Secure", httponly = "; HttpOnly", partitioned = "; Partitioned" }) do
  ATTRIBUTES[attribute] = function(is)
    return is == true and text or is == false and "" or nil, "is true or false"
  end
end
local ORDER = { "domain", "path", "max_age", "expires", "secure", "httponly", "samesite", "partitioned" }

-- Why browsers would drop it, if they would.
local function refused_by_browsers(name, options)
  local is_none = type(options.samesite) == "string" and lower(options.samesite) == "none"
  if not options.secure and (is_none or options.partitioned) then
    return "a cookie with SameSite=None or Partitioned has to be secure"
  end
  local prefix = find(lower(name), "^__host%-") and "__Host-" or find(lower(name), "^__secure%-") and "__Secure-"
  if prefix and not options.secure then
    return "a cookie whose name begins with " .. prefix .. " has to be secure"
  elseif prefix == "__Host-" and (options.domain or (options.path or "/") ~= "/" or options.path == false) then
    return "a cookie whose name begins with __Host- has the path / and no domain"
  end
end

-- The value of a Set-Cookie header; nil and why if it would not arrive as it is meant.
function web.cookie(name, value, options)
  options = options or {}
  if type(name) ~= "string" or not find(name, "^" .. own.TOKEN .. "$") then
    return nil, "the name of a cookie is made of letters, digits and !#$%&'*+-.^_`|~"
  elseif type(value) ~= "string" or find(value, "[%c \",;\\\128-\255]") then
    return nil, "the value of a cookie is ASCII without spaces, quotes, commas, semicolons and backslashes; web.url_encode helps"
  end
  local why = refused_by_browsers(name, options)
  if why then
    return nil, why
  end
  for option in pairs(options) do
    if not ATTRIBUTES[option] then
      return nil, "a cookie has no option " .. tostring(option)
    end
  end
  local pieces = { name, "=", value }
  for _, attribute in ipairs(ORDER) do
    local given = options[attribute]
    if given == nil and attribute == "path" then
      given = "/"
    end
    if given ~= nil then
      local text, right = ATTRIBUTES[attribute](given)
      if not text then
        return nil, format("%s of a cookie %s", attribute, right)
      end
      pieces[#pieces + 1] = text
    end
  end
  local text = concat(pieces)
  if #text > COOKIE_BYTES_MAX then
    return nil, format("a cookie of %d bytes is longer than the %d that browsers keep", #text, COOKIE_BYTES_MAX)
  end
  return text
end
