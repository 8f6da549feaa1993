-- The forms of a request: urlencoded, or multipart with its files, which are kept in memory while they are small, else in
-- files without a name that end with their last reader, whatever happens to the worker.

local host, own, web = ...
local find, huge, min, sub = string.find, math.huge, math.min, string.sub
local open, remove, rename, tmpfile = io.open, os.remove, os.rename, io.tmpfile
local concat, pairs, setmetatable, tonumber, tostring, type = table.concat, pairs, setmetatable, tonumber, tostring, type

local PIECE_BYTES = 64 * 1024
local COUNT_MAX = 2 ^ 52

own.LIMITS = {
  fields_max = 1000,
  -- Of all names and values that are held in memory.
  form_bytes_max = 512 * 1024,
  files_max = 20,
  file_bytes_max = COUNT_MAX, -- the server's --max-body holds all the same
  -- A file that is longer is kept in a temporary file.
  spool_bytes = 64 * 1024,
  -- Of a stream of parts.
  parts_max = 1000,
  header_bytes_max = 8 * 1024,
}

-- A whole number, at least `least` (0).
function own.count(count, wrong, least)
  if type(count) ~= "number" or not (count >= (least or 0) and count < COUNT_MAX and count % 1 == 0) then
    host.raise_in_app(wrong)
  end
  return count
end

function own.limits_of(given)
  local limits = {}
  for name, limit in pairs(own.LIMITS) do
    limits[name] = limit
  end
  for name, limit in pairs(given or {}) do
    if not limits[name] then
      host.raise_in_app("there is no limit " .. tostring(name))
    end
    limits[name] = own.count(limit, "the limit " .. name .. " is a number")
  end
  return limits
end

-- The body as one string, if it has at most bytes_max.
function own.read_body(environ, bytes_max)
  local announced = tonumber(environ.CONTENT_LENGTH)
  if announced and announced > bytes_max then
    return nil, "the body is too long", 413
  end
  local input, pieces, bytes = environ["wsgi.input"], {}, 0
  while true do
    local piece = input:read(min(PIECE_BYTES, bytes_max + 1 - bytes))
    if not piece or piece == "" then
      return concat(pieces)
    end
    pieces[#pieces + 1], bytes = piece, bytes + #piece
    if bytes > bytes_max then
      return nil, "the body is too long", 413
    end
  end
end

-- Writes what `read` returns to a file that has its name only when it is complete. Returns the number of bytes; or nil, why
-- and the status.
function own.save(path, bytes_max, read)
  local token, why = web.token(9)
  local partial, file = token and path .. "." .. token .. ".part", nil
  if partial then
    file, why = open(partial, "wb")
  end
  if not file then
    return nil, why, 500
  end
  local bytes, status = 0, nil
  while true do
    local piece, read_failed, read_status = read()
    why, status = read_failed, read_status
    if not piece then
      break
    end
    bytes = bytes + #piece
    if bytes > bytes_max then
      why, status = "a file is too long", 413
      break
    end
    local written, write_failed = file:write(piece)
    if not written then
      why, status = write_failed, 500
      break
    end
  end
  local closed, close_failed = file:close()
  if not why and not closed then
    why = close_failed
  end
  if not why then
    local renamed, rename_failed = rename(partial, path)
    why = not renamed and rename_failed or nil
  end
  if why then
    remove(partial)
    return nil, why, status or 500
  end
  return bytes
end

-- An uploaded file.
local File = {}
File.__index = File

-- n bytes, nil at the end; without a number, what is left.
function File:read(count)
  if self.handle then
    return self.handle:read(count or "*a")
  end
  local from = self.at
  self.at = min(from + (count or huge), #self.content + 1)
  if count and count > 0 and from > #self.content then
    return nil
  end
  return sub(self.content, from, self.at - 1)
end

-- To the first byte.
function File:rewind()
  self.at = 1
  if self.handle then
    self.handle:seek("set")
  end
end

-- Copies it to a file of this name, which is replaced as a whole.
function File:save(path)
  self:rewind()
  return own.save(path, huge, function()
    return self:read(PIECE_BYTES)
  end)
end

-- The rest of a part as a file.
local function spooled(part, limits)
  local content, why, status = part:read(limits.spool_bytes + 1)
  if why then
    return nil, why, status
  end
  content = content or ""
  local file = setmetatable({ name = part.name, filename = part.filename, type = part.type, size = #content, at = 1 }, File)
  if #content > limits.file_bytes_max then
    return nil, "a file is too long", 413
  elseif #content <= limits.spool_bytes then
    file.content = content
    return file
  end
  file.handle, why = tmpfile()
  if not file.handle then
    return nil, why, 500
  end
  while content do
    local written, write_failed = file.handle:write(content)
    if not written then
      return nil, write_failed, 500
    end
    content, why, status = part:read(PIECE_BYTES)
    if why then
      return nil, why, status
    end
    file.size = file.size + (content and #content or 0)
    if file.size > limits.file_bytes_max then
      return nil, "a file is too long", 413
    end
  end
  local at, flush_failed = file.handle:seek("set")
  if not at then
    return nil, flush_failed, 500
  end
  return file
end

local function multipart_form(reader, limits)
  local fields, files, bytes, files_count = {}, {}, 0, 0
  while true do
    local part, why, status = reader:next()
    if why then
      return nil, why, status
    elseif not part then
      return fields, files
    end
    bytes = bytes + #part.name
    if bytes > limits.form_bytes_max then
      return nil, "the form is too long", 413
    end
    if part.filename then
      files_count = files_count + 1
      if files_count > limits.files_max then
        return nil, "too many files", 413
      end
      local file, file_failed, file_status = spooled(part, limits)
      if not file then
        return nil, file_failed, file_status
      end
      -- An input of a form in which no file was chosen sends one without a name and content.
      if file.filename ~= "" or file.size > 0 then
        own.add(files, part.name, file)
      end
    else
      local value, value_failed, value_status = part:read_all(limits.form_bytes_max - bytes)
      if not value then
        return nil, value_failed, value_status
      end
      local read = own.reader_of(part.charset)
      if not read then
        return nil, "a field has a character set that is not known", 415
      end
      bytes = bytes + #value
      if #fields == limits.fields_max then
        return nil, "too many fields", 413
      end
      own.add(fields, part.name, read(value))
    end
  end
end

-- The fields and the files of the form that a request has as its body; nil, why and the status if it is none.
function own.form(environ, limits)
  local content_type = environ.CONTENT_TYPE or ""
  local media, parameters = own.parameters(content_type)
  if media == "multipart/form-data" then
    limits.parts_max = limits.fields_max + limits.files_max
    local reader, why, status = own.multipart(environ, limits)
    if not reader then
      return nil, why, status
    end
    return multipart_form(reader, limits)
  elseif media == "application/x-www-form-urlencoded" then
    local read = own.reader_of(parameters.charset)
    if not read then
      return nil, "the form has a character set that is not known", 415
    end
    local text, why, status = own.read_body(environ, limits.form_bytes_max)
    if not text then
      return nil, why, status
    end
    local fields, query_failed, query_status = own.parse_query(text, limits.fields_max, read)
    return fields, fields and {} or query_failed, query_status
  elseif content_type == "" and find(environ.CONTENT_LENGTH or "-", "^0*$") then
    return {}, {}
  end
  return nil, "the body is not a form", 415
end
