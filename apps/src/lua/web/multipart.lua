-- multipart/form-data (RFC 7578, RFC 2046) as a stream of parts. The body is read in pieces, of which one is held.
--
-- A part's content ends at CRLF "--" BOUNDARY. Until the next piece is read, `buffer` is what was read and not taken:
--
--   buffer  | taken | content | perhaps a part of a delimiter |
--                   ^ from    ^ stop
--
-- is_delimiter says that a whole delimiter begins at `stop`. A boundary that is followed by anything but "--" or the line's
-- end is an error: other programs would disagree about where the part ends.

local host, own, web = ...
local to_utf8 = host.to_utf8
local find, gmatch, gsub, lower, match, sub =
  string.find, string.gmatch, string.gsub, string.lower, string.match, string.sub
local concat, huge, min, setmetatable = table.concat, math.huge, math.min, setmetatable

local PIECE_BYTES = 64 * 1024
-- A delimiter's line may have spaces at its end.
local LINE_BYTES_MAX = 1024

local Reader = {}
Reader.__index = Reader
local Part = {}
Part.__index = Part

-- Once the body is known to be wrong, every read says so.
local function fail(reader, why, status)
  reader.failed = reader.failed or { why, status or 400 }
  return nil, reader.failed[1], reader.failed[2]
end

-- Reads one more piece; false at the end of the body.
local function fill(reader)
  local piece = reader.input:read(PIECE_BYTES)
  if not piece or piece == "" then
    return false
  end
  reader.buffer = sub(reader.buffer, reader.from) .. piece
  reader.from = 1
  return true
end

-- Determines `stop`.
local function scan(reader)
  local at = find(reader.buffer, reader.delimiter, reader.from, true)
  reader.is_delimiter = at ~= nil
  local safe = #reader.buffer - #reader.delimiter + 2
  reader.stop = at or safe > reader.from and safe or reader.from
end

-- From one byte of content to bytes_max; nil at its end, or nil, why and the status.
local function take(reader, bytes_max)
  while reader.stop <= reader.from do
    if reader.is_delimiter then
      return nil
    elseif not fill(reader) then
      return fail(reader, "the body ends before its last boundary")
    end
    scan(reader)
  end
  local from = reader.from
  local last = min(reader.stop - 1, from + bytes_max - 1)
  reader.from = last + 1
  return sub(reader.buffer, from, last)
end

-- What precedes `pattern`, a plain string, if it has at most bytes_max.
local function take_until(reader, pattern, bytes_max, why)
  while true do
    local first, last = find(reader.buffer, pattern, reader.from, true)
    if first and first - reader.from <= bytes_max then
      local text = sub(reader.buffer, reader.from, first - 1)
      reader.from = last + 1
      return text
    elseif first or #reader.buffer - reader.from >= bytes_max + #pattern then
      return fail(reader, why .. " is too long", 413)
    elseif not fill(reader) then
      return fail(reader, "the body ends within " .. why)
    end
  end
end

local function skip(reader)
  local piece, why, status
  repeat
    piece, why, status = take(reader, PIECE_BYTES)
  until not piece
  return why == nil, why, status
end

-- The lines of a part's head by their names in lower case; nil if it is malformed.
local function headers_of(head)
  local headers = {}
  for line in gmatch(head .. "\r\n", "([^\r\n]*)\r\n") do
    local name, value = match(line, "^(" .. own.TOKEN .. "):[ \t]*(.*)$")
    name = name and lower(name)
    if not name or headers[name] or find(value, "\0", 1, true) then
      return nil
    end
    headers[name] = own.trim(value)
  end
  -- Bare CRs and LFs are in none of the lines.
  local _, breaks = gsub(head, "[\r\n]", "")
  local _, ends = gsub(head, "\r\n", "")
  return breaks == 2 * ends and headers or nil
end

local function part_of(reader, head)
  local headers = headers_of(head)
  if not headers then
    return fail(reader, "the head of a part is malformed")
  end
  local kind, disposition = own.parameters(headers["content-disposition"] or "")
  local filename = kind and own.filename_of(disposition)
  if kind ~= "form-data" or not disposition.name or filename == false then
    return fail(reader, "a part has no Content-Disposition that is form-data with a name")
  end
  local media, parameters
  if headers["content-type"] then
    media, parameters = own.parameters(headers["content-type"])
  end
  return setmetatable({
    reader = reader,
    headers = headers,
    name = (gsub(to_utf8(disposition.name), "%%22", '"')),
    filename = filename,
    type = media or (filename and "application/octet-stream" or "text/plain"),
    charset = parameters and parameters.charset,
  }, Part)
end

-- The next part; nil after the last one, or nil, why and the status. What was not read of the part before is skipped.
function Reader:next()
  if self.failed then
    return fail(self)
  elseif self.has_ended then
    return nil
  end
  self.part = nil
  local skipped, skip_failed, skip_status = skip(self)
  if not skipped then
    return nil, skip_failed, skip_status
  end
  self.from = self.stop + #self.delimiter
  while #self.buffer - self.from < 1 and fill(self) do end
  if sub(self.buffer, self.from, self.from + 1) == "--" then
    self.has_ended, self.buffer = true, ""
    return nil
  end
  local rest, line_failed, line_status = take_until(self, "\r\n", LINE_BYTES_MAX, "a boundary's line")
  if not rest then
    return nil, line_failed, line_status
  elseif find(rest, "[^ \t]") then
    return fail(self, "a boundary is followed by something else")
  end
  self.parts = self.parts + 1
  if self.parts > self.parts_max then
    return fail(self, "too many parts", 413)
  end
  local head, head_failed, head_status = take_until(self, "\r\n\r\n", self.header_bytes_max, "the head of a part")
  if not head then
    return nil, head_failed, head_status
  end
  scan(self)
  local part, why, status = part_of(self, head)
  self.part = part
  return part, why, status
end

-- n bytes, fewer only where the part ends; nil at its end, or nil, why and the status.
local function read(part, count)
  local reader = part.reader
  if reader.failed then
    return fail(reader)
  elseif reader.part ~= part then
    return nil, "the part was left behind", 500
  end
  local pieces, missing = {}, count
  while missing > 0 do
    local piece, why, status = take(reader, missing)
    if why then
      return nil, why, status
    elseif not piece then
      break
    end
    pieces[#pieces + 1], missing = piece, missing - #piece
  end
  if #pieces == 0 and count > 0 then
    return nil
  end
  return concat(pieces)
end

function Part:read(count)
  return read(self, own.count(count, "part:read takes a number of bytes, from 1", 1))
end

-- The rest of a part as a string; nil, why and the status if it is longer than bytes_max.
function Part:read_all(bytes_max)
  own.count(bytes_max, "part:read_all takes the most bytes that it may read")
  local text, why, status = read(self, bytes_max + 1)
  if why then
    return nil, why, status
  elseif text and #text > bytes_max then
    return nil, "a part is too long", 413
  end
  return text or ""
end

-- Writes what is left of it to a new file, at most bytes_max; returns the number of bytes.
function Part:save(path, bytes_max)
  return own.save(path, bytes_max or huge, function()
    return read(self, PIECE_BYTES)
  end)
end

-- The boundary of a multipart/form-data; nil, why and the status without one.
local function boundary_of(content_type)
  local media, parameters = own.parameters(content_type or "")
  if media ~= "multipart/form-data" then
    return nil, "the body is not multipart/form-data", 415
  end
  local boundary = parameters.boundary
  -- RFC 2046, 5.1.1.
  if not boundary or #boundary > 70 or not find(boundary, "^[0-9A-Za-z'()+_,./:=? -]*[0-9A-Za-z'()+_,./:=?-]$") then
    return nil, "the boundary of multipart/form-data is missing or malformed", 400
  end
  return boundary
end

-- The parts of a body; nil, why and the status if it is none.
function own.multipart(environ, limits)
  local boundary, why, status = boundary_of(environ.CONTENT_TYPE)
  if not boundary then
    return nil, why, status
  end
  return setmetatable({
    input = environ["wsgi.input"],
    delimiter = "\r\n--" .. boundary,
    -- So that a body which begins with the boundary begins with a delimiter.
    buffer = "\r\n",
    from = 1,
    stop = 1,
    is_delimiter = false,
    parts = 0,
    parts_max = limits.parts_max,
    header_bytes_max = limits.header_bytes_max,
  }, Reader)
end
