-- Text for HTML, URLs and headers, and tokens.

local host, own, web = ...
local crypto, to_utf8 = host.crypto, host.to_utf8
local byte, find, format, gmatch, gsub, match, sub =
  string.byte, string.find, string.format, string.gmatch, string.gsub, string.match, string.sub
local char, lower = string.char, string.lower
local concat, sort = table.concat, table.sort
local date, ipairs, pairs, setmetatable, tonumber, tostring, type =
  os.date, ipairs, pairs, setmetatable, tonumber, tostring, type

-- Without spaces and tabs at both ends.
function own.trim(text)
  local first, last = find(text, "[^ \t]"), #text
  if not first then
    return ""
  end
  while find(sub(text, last, last), "[ \t]") do
    last = last - 1
  end
  return sub(text, first, last)
end

-- HTML ----------------------------------------------------------------------------------------------------------------

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

-- For text and for values of attributes in quotes; "" for nil.
function web.escape(text)
  return text == nil and "" or (gsub(tostring(text), "[&<>\"']", ENTITIES))
end

-- URLs ----------------------------------------------------------------------------------------------------------------

local TO_PERCENT = {}
for code = 0, 255 do
  TO_PERCENT[char(code)] = format("%%%02X", code)
end
-- By two digits, of which there are 484 kinds.
local FROM_PERCENT = setmetatable({}, {
  __index = function(characters, digits)
    local character = char(tonumber(digits, 16))
    characters[digits] = character
    return character
  end,
})

-- A part of a path or of a query.
function web.url_encode(text)
  return (gsub(tostring(text), "[^A-Za-z0-9%-._~]", TO_PERCENT))
end

-- An escape that is none stays as it is, as in browsers.
function web.url_decode(text)
  return (gsub(text, "%%(%x%x)", FROM_PERCENT))
end

local function form_encode(text)
  return (gsub(gsub(tostring(text), "[^A-Za-z0-9%-._* ]", TO_PERCENT), " ", "+"))
end

function own.form_decode(text)
  return (gsub(gsub(text, "+", " "), "%%(%x%x)", FROM_PERCENT))
end

-- What own.parse_query reads: a table of names and values, or a list of pairs.
function web.to_query(fields)
  local pieces = {}
  for index, pair in ipairs(fields) do
    pieces[index] = form_encode(pair[1]) .. "=" .. form_encode(pair[2])
  end
  if #pieces == 0 then
    for name, value in pairs(fields) do
      pieces[#pieces + 1] = form_encode(name) .. "=" .. form_encode(value)
    end
    sort(pieces)
  end
  return concat(pieces, "&")
end

-- A path of this site: where a client may be sent that has itself named the place.
function web.is_local(location)
  if type(location) ~= "string" or find(location, "[%c\\]") then
    return false
  end
  return sub(location, 1, 1) == "/" and sub(location, 2, 2) ~= "/"
end

-- The name that a client has given a file, so that it names one in a directory: its last component, without control
-- characters and leading dots, and no longer than a file system takes. Nil if nothing is left.
local NAME_BYTES_MAX = 200

function web.filename(text)
  text = to_utf8(text)
  local from = 1
  for at in gmatch(text, "[/\\]()") do
    from = at
  end
  local name = gsub(sub(text, from), "[%c<>:\"|?*]", "")
  name = match(name, "^[%s.]*(.*)$")
  if #name > NAME_BYTES_MAX then
    local suffix = match(name, "%.%w+$") or ""
    suffix = #suffix <= 10 and suffix or ""
    local last = NAME_BYTES_MAX - #suffix
    -- Not in the middle of a character of UTF-8.
    while find(sub(name, last + 1, last + 1), "[\128-\191]") do
      last = last - 1
    end
    name = sub(name, 1, last) .. suffix
  end
  return name ~= "" and name or nil
end

-- Headers -------------------------------------------------------------------------------------------------------------

local DAYS = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }
local SECONDS_MAX = 253402300799 -- the end of the year 9999

-- For Expires and Last-Modified (RFC 9110, 5.6.7), whatever the locale. Nil for what is not a time since 1970.
function web.date(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds <= SECONDS_MAX) then
    return nil, "not a time"
  end
  local at = date("!*t", seconds - seconds % 1)
  return format("%s, %02d %s %04d %02d:%02d:%02d GMT", DAYS[at.wday], at.day, MONTHS[at.month], at.year, at.hour, at.min,
    at.sec)
end

-- The tag of these bytes, a strong one.
function web.etag(bytes)
  return '"' .. sub(crypto.to_base64url(crypto.sha256(bytes)), 1, 22) .. '"'
end

-- Whether the client has this already: then a 304 is the response to a GET (RFC 9110, 13.1.2).
function web.has_current(environ, etag)
  local known = environ.HTTP_IF_NONE_MATCH
  if not known then
    return false
  elseif known == "*" then
    return true
  end
  local opaque = match(etag, '"[^"]*"')
  for tag in gmatch(known, '"[^"]*"') do
    if tag == opaque then
      return true
    end
  end
  return false
end

-- Tokens --------------------------------------------------------------------------------------------------------------

-- That cannot be guessed: of 18 random bytes, 24 characters.
function web.token(bytes)
  local random, why = crypto.random_bytes(bytes or 18)
  if not random then
    return nil, why
  end
  return crypto.to_base64url(random)
end

-- Of two tokens; takes as long whichever byte differs.
function web.equal(one, other)
  return type(one) == "string" and type(other) == "string" and crypto.equal(one, other)
end

-- Character sets ------------------------------------------------------------------------------------------------------

local function of_latin1(character)
  local code = byte(character)
  return char(0xc0 + (code - code % 64) / 64, 0x80 + code % 64)
end

local CHARSETS = {
  ["utf-8"] = to_utf8,
  ["us-ascii"] = to_utf8,
  ["iso-8859-1"] = function(text)
    return (gsub(text, "[\128-\255]", of_latin1))
  end,
}
CHARSETS.utf8, CHARSETS.latin1 = CHARSETS["utf-8"], CHARSETS["iso-8859-1"]

-- The function that makes UTF-8 of it; what is none becomes U+FFFD. Nil for a character set that is not known.
function own.reader_of(charset)
  return CHARSETS[lower(charset or "utf-8")]
end
