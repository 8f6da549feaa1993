-- A guestbook with tine.web: a form, a session that is signed, uploads. In this directory:
--
--     SECRET=$(openssl rand -hex 32) tine run guestbook.lua --workers 16
--
-- Entries and pictures are in dictionaries that the workers share; a restart begins with an empty book. Over TLS the session
-- should have name = "__Host-session" and secure = true. docs/web.md has the contract.

local web = require("tine.web")
local json = require("tine.json")

local sessions = web.sessions({ keys = { os.getenv("SECRET") }, name = "guestbook" })
local entries = tine.shared("entries", "4M")
local pictures = tine.shared("pictures", "32M")

local SHOWN_MAX = 20
local LIMITS = { fields_max = 10, form_bytes_max = 10000, files_max = 1, file_bytes_max = 500000 }
local KINDS = { ["image/png"] = true, ["image/jpeg"] = true, ["image/gif"] = true, ["image/webp"] = true }

local function page(start_response, headers, ...)
  headers[#headers + 1] = { "Content-Type", "text/html; charset=utf-8" }
  start_response("200 OK", headers)
  return { "<!doctype html>\n<html lang=en><meta charset=utf-8><title>Guestbook</title>\n<h1>Guestbook</h1>\n", ... }
end

local function refuse(start_response, status, why)
  start_response(status, { { "Content-Type", "text/plain; charset=utf-8" } })
  return why .. "\n"
end

local function entry_of(number)
  local text = entries:get(tostring(number))
  local entry = text and json.decode(text)
  if not entry then
    return ""
  end
  local picture = entry.picture and ("<br><img src=/pictures/%d alt=\"%s\">"):format(number, web.escape(entry.picture)) or ""
  return ("<p><b>%s</b>: %s%s</p>\n"):format(web.escape(entry.name), web.escape(entry.text), picture)
end

local SIGN_IN = [[
<form action=/sign-in method=post>
<input type=hidden name=token value="%s">
<label>Your name <input name=name maxlength=50 required></label> <button>Sign in</button>
</form>
]]
local WRITE = [[
<form action=/entries method=post enctype=multipart/form-data>
<input type=hidden name=token value="%s">
<p>You are %s.
<p><textarea name=text maxlength=1000 required></textarea>
<p><label>A picture <input type=file name=picture accept="image/*"></label>
<p><button>Write</button> <button formaction=/sign-out formnovalidate>Sign out</button>
</form>
]]

local function book(_, start_response, session)
  local headers = {}
  -- Only a page of this site knows the token, so that no other one can make a visitor's browser send the form.
  if not session.token then
    session.token = web.token()
    headers[1] = { "Set-Cookie", sessions:cookie(session) }
  end
  local form = session.name and WRITE:format(session.token, web.escape(session.name)) or SIGN_IN:format(session.token)
  local last, shown = entries:get("last") or 0, {}
  for number = last, math.max(1, last - SHOWN_MAX + 1), -1 do
    shown[#shown + 1] = entry_of(number)
  end
  return page(start_response, headers, form, table.concat(shown))
end

local function sign_in(request, start_response, _, form)
  local name = form.name or ""
  if name == "" or #name > 100 then
    return refuse(start_response, 400, "A name has up to 100 bytes.")
  end
  -- A new token for the new visitor.
  local session = { name = name, token = web.token() }
  return web.redirect(start_response, "/", { { "Set-Cookie", sessions:cookie(session) } })
end

local function sign_out(_, start_response)
  return web.redirect(start_response, "/", { { "Set-Cookie", sessions:cookie({}) } })
end

local function write(_, start_response, session, form, files)
  local picture, text = files.picture, form.text or ""
  if not session.name then
    return refuse(start_response, 403, "Sign in first.")
  elseif text == "" or #text > 4000 then
    return refuse(start_response, 400, "Write something, but not more than 4000 bytes.")
  elseif picture and not KINDS[picture.type] then
    return refuse(start_response, 400, "A picture is a PNG, a JPEG, a GIF or a WebP.")
  end
  local number = entries:incr("last", 1, 0)
  if picture then
    pictures:set(tostring(number), picture.type .. "\n" .. picture:read())
  end
  entries:set(tostring(number), json.encode({ name = session.name, text = text, picture = picture and picture.filename }))
  return web.redirect(start_response, "/")
end

local function show_picture(request, start_response, number)
  local kind, bytes = (pictures:get(number) or ""):match("^([^\n]*)\n(.*)$")
  if not kind then
    return refuse(start_response, 404, "There is no such picture.")
  end
  local etag = web.etag(bytes)
  -- What a visitor has uploaded is shown as that kind of picture or not at all.
  local headers = { { "Content-Type", kind }, { "X-Content-Type-Options", "nosniff" }, { "ETag", etag } }
  if web.has_current(request.environ, etag) then
    start_response(304, headers)
    return ""
  end
  start_response(200, headers)
  return bytes
end

local POSTS = { ["/sign-in"] = sign_in, ["/sign-out"] = sign_out, ["/entries"] = write }

local function app(environ, start_response)
  local request = web.request(environ)
  local session = sessions:open(request)
  local picture = request.path:match("^/pictures/(%d+)$")
  local post = POSTS[request.path]
  if picture then
    return show_picture(request, start_response, picture)
  elseif request.path == "/" then
    return book(request, start_response, session)
  elseif not post then
    return refuse(start_response, 404, "There is no such page.")
  elseif request.method ~= "POST" then
    return refuse(start_response, 405, "This takes a form.")
  end
  local form, files, status = request:form(LIMITS)
  if not form then
    return refuse(start_response, status, files)
  elseif not web.equal(form.token, session.token) then
    return refuse(start_response, 403, "The form has expired. Load the page again.")
  end
  return post(request, start_response, session, form, files)
end

return { app = app }
