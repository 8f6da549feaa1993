-- A request: environ with what is read of it once.

local host, own, web = ...
local json = host.json
local find, gsub, match = string.find, string.gsub, string.match
local huge, ipairs, rawget, rawset, setmetatable = math.huge, ipairs, rawget, rawset, setmetatable

local KEY = "tine.web.request"
local BODY_BYTES_MAX = 1024 * 1024

local Request = {}

-- Made when they are first looked up.
local MADE = {
  method = function(environ)
    return environ.REQUEST_METHOD
  end,
  path = function(environ)
    return environ.PATH_INFO
  end,
  -- Its length is that of the head (--header-max).
  query = function(environ)
    return own.parse_query(environ.QUERY_STRING or "", huge)
  end,
  cookies = function(environ)
    return own.parse_cookies(environ.HTTP_COOKIE or "")
  end,
}

local metatable = {
  __index = function(request, key)
    local make = MADE[key]
    if not make then
      return Request[key]
    end
    local value = make(request.environ)
    rawset(request, key, value)
    return value
  end,
}

-- The same object for the same environ, so that code around the app may look at a form before it.
function web.request(environ)
  local request = environ[KEY]
  if not request then
    request = setmetatable({ environ = environ }, metatable)
    environ[KEY] = request
  end
  return request
end

-- The body is read once: by `reader`, unless another one was first.
local function is_taken(request, reader)
  local first = rawget(request, "reader")
  if first then
    return nil, "the body was read already, by " .. first, 500
  end
  rawset(request, "reader", reader)
end

-- The fields of the request's form and its files; the same ones again if it is asked again. Nil, why and the status without a
-- form, or if it is over a limit.
function Request:form(limits)
  local form = rawget(self, "form_read")
  if not form then
    local _, why, status = is_taken(self, "form")
    if why then
      return nil, why, status
    end
    form = { own.form(self.environ, own.limits_of(limits)) }
    rawset(self, "form_read", form)
  end
  return form[1], form[2], form[3]
end

-- An iterator of the parts of a multipart/form-data: each is to be read before the next. It ends with false, why and the status
-- where the body is wrong, so that a loop which does not expect that fails.
function Request:parts(limits)
  local _, why, status = is_taken(self, "parts")
  local reader
  if not why then
    reader, why, status = own.multipart(self.environ, own.limits_of(limits))
  end
  local has_failed = false
  return function()
    if has_failed then
      return nil
    elseif not reader then
      has_failed = true
      return false, why, status
    end
    local part, part_failed, part_status = reader:next()
    if part_failed then
      has_failed = true
      return false, part_failed, part_status
    end
    return part
  end
end

-- The body, if it has at most bytes_max (1 MiB).
function Request:body(bytes_max)
  local _, why, status = is_taken(self, "body")
  if why then
    return nil, why, status
  end
  return own.read_body(self.environ, own.count(bytes_max or BODY_BYTES_MAX, "request:body takes a number of bytes"))
end

-- The value that the body is in JSON, where null is json.null. Nil, why and the status if it is none.
function Request:json(bytes_max)
  local media = own.parameters(self.environ.CONTENT_TYPE or "")
  if not media or not (media == "application/json" or find(media, "^application/[^/]*%+json$")) then
    return nil, "the body is not JSON", 415
  end
  local text, why, status = self:body(bytes_max)
  if not text then
    return nil, why, status
  end
  local value, malformed = json.decode(text)
  if value == nil then
    return nil, malformed, 400
  end
  return value
end

-- The absolute URL of a path of this application. `origin`, such as "https://example.org", is for apps behind a proxy that
-- speaks TLS, and where the client must not choose the name: it is the client's Host otherwise.
function Request:url(path, origin)
  local environ = self.environ
  if not origin then
    local name = environ.HTTP_HOST or ""
    local host_name = match(name, "^(.+):%d*$") or name
    if not (find(host_name, "^[A-Za-z0-9._-]+$") or find(host_name, "^%[[%x:.]+%]$")) then
      name = environ.SERVER_NAME .. ":" .. environ.SERVER_PORT
    end
    origin = environ["wsgi.url_scheme"] .. "://" .. name
  end
  return origin .. (environ.SCRIPT_NAME or "") .. path
end

-- Responds with a redirection; `headers` is a list of pairs. What no URL has is escaped.
function web.redirect(start_response, location, headers, status)
  location = gsub(location, "[^\33-\126]", web.url_encode)
  local list = { { "Location", location }, { "Content-Type", "text/plain; charset=utf-8" } }
  for _, pair in ipairs(headers or {}) do
    list[#list + 1] = pair
  end
  start_response(status or 303, list)
  return location .. "\n"
end
