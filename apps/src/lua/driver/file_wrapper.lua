-- wsgi.file_wrapper (PEP 3333): marks a file as a body, which the server sends without reading it (driver/answer.lua).
-- Whatever else is done with it, it is an iterator of blocks.

local driver = ...
local raise_in_app = driver.raise_in_app
local error, io_type, pcall, setmetatable, type = error, io.type, pcall, setmetatable, type

local BLOCK_BYTES = 64 * 1024

local FileWrapper = {}
FileWrapper.__index = FileWrapper
driver.FileWrapper = FileWrapper

function FileWrapper:__call()
  local block, why = self.file:read(self.block_bytes)
  if block == nil and why then
    error("the file cannot be read: " .. why, 0)
  end
  return block ~= "" and block or nil
end

-- Called when the file is sent, however its request ends. The app may have closed the file itself.
function FileWrapper:close()
  local file = self.file
  if io_type(file) ~= "closed file" and file.close then
    file:close()
  end
end

local function read_of(file)
  return file.read
end

return function(file, block_bytes)
  local has_read, read = pcall(read_of, file)
  if not has_read or type(read) ~= "function" then
    raise_in_app("wsgi.file_wrapper takes a file, or an object with a method read")
  elseif io_type(file) == "closed file" then
    raise_in_app("wsgi.file_wrapper: the file is closed")
  elseif block_bytes ~= nil and not (type(block_bytes) == "number" and block_bytes >= 1 and block_bytes % 1 == 0) then
    raise_in_app("wsgi.file_wrapper: the size of a block is a whole number of bytes")
  end
  return setmetatable({ file = file, block_bytes = block_bytes or BLOCK_BYTES }, FileWrapper)
end
