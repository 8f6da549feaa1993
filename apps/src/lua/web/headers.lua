-- Values of headers with parameters: form-data; name="a"; filename="b.txt" (RFC 9110, 5.6.6; RFC 2183).

local host, own, web = ...
local to_utf8, url_decode = host.to_utf8, web.url_decode
local byte, find, gsub, lower, match, sub =
  string.byte, string.find, string.gsub, string.lower, string.match, string.sub

own.TOKEN = "[!#$%%&'*+%-.^_`|~0-9A-Za-z]+"
local VALUE = "^[ \t]*([!#$%%&'*+%-.^_`|~0-9A-Za-z/]+)[ \t]*()"
local NAME = "^;[ \t]*(" .. own.TOKEN .. ")=()"
local TOKEN = "^(" .. own.TOKEN .. ")[ \t]*()"

-- The string in quotes whose content begins at `at`, and where to go on. Only \" and \\ are escapes: browsers of old send
-- C:\file as it is, and curl escapes with a backslash what today's browsers write as %22.
local function quoted(text, at)
  local stop = at
  while true do
    stop = find(text, '["\\]', stop)
    if not stop then
      return nil
    elseif byte(text, stop) == 34 then
      break
    end
    local is_escape = find(text, '^["\\]', stop + 1)
    stop = stop + (is_escape and 2 or 1)
  end
  local content = gsub(sub(text, at, stop - 1), '\\(["\\])', "%1")
  return content, match(text, "^[ \t]*()", stop + 1)
end

-- The value, a token or a media type in lower case, and its parameters, whose names are in lower case; nil if it is malformed or has two of a name.
function own.parameters(text)
  local value, at = match(text, VALUE)
  if not value then
    return nil
  end
  local parameters = {}
  while at <= #text do
    if find(text, "^;[ \t]*$", at) then
      break
    end
    local name, from = match(text, NAME, at)
    if not name then
      return nil
    end
    local content
    if byte(text, from) == 34 then
      content, at = quoted(text, from + 1)
    else
      content, at = match(text, TOKEN, from)
    end
    name = lower(name)
    if not content or parameters[name] then
      return nil
    end
    parameters[name] = content
  end
  return lower(value), parameters
end

-- UTF-8''na%C3%AFve.txt (RFC 8187) as text; nil if it is none.
function own.extended(text)
  local charset, coded = match(text, "^([A-Za-z0-9-]+)'[A-Za-z0-9-]*'([!#$&+.^_`|~0-9A-Za-z%%-]*)$")
  local read = charset and own.reader_of(charset)
  return read and read(url_decode(coded))
end

-- The filename that a part has been given, as text: nil without one, false if it is malformed.
function own.filename_of(parameters)
  local extended, plain = parameters["filename*"], parameters.filename
  if extended then
    return own.extended(extended) or false
  elseif plain then
    return (gsub(to_utf8(plain), "%%22", '"'))
  end
end
