-- Fields: what a query, a form and the cookies of a request are. A plain table: `fields.name` is the first value of a name,
-- and fields[1], fields[2], ... are all of them in the order in which they were sent, as { name, value }. Names are
-- strings and indexes are numbers, so no name hides anything.

local host, own, web = ...
local to_utf8, form_decode = host.to_utf8, own.form_decode
local find, gmatch, sub = string.find, string.gmatch, string.sub
local ipairs = ipairs

function own.add(fields, name, value)
  if fields[name] == nil then
    fields[name] = value
  end
  fields[#fields + 1] = { name, value }
end

-- All values of a name, in their order.
function web.all(fields, name)
  local values = {}
  for _, pair in ipairs(fields) do
    if pair[1] == name then
      values[#values + 1] = pair[2]
    end
  end
  return values
end

-- "a=1&b=2" as fields; nil if there are more than fields_max. `read` makes text of the bytes (UTF-8).
function own.parse_query(text, fields_max, read)
  read = read or to_utf8
  local fields, count = {}, 0
  for pair in gmatch(text, "[^&]+") do
    count = count + 1
    if count > fields_max then
      return nil, "too many fields", 413
    end
    local equals = find(pair, "=", 1, true) or #pair + 1
    own.add(fields, read(form_decode(sub(pair, 1, equals - 1))), read(form_decode(sub(pair, equals + 1))))
  end
  return fields
end
