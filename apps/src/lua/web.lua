-- tine.web: what a web application needs of a request besides environ: forms, uploads, cookies, sessions. Not a framework: no
-- routes, no templates. Lua of both languages; docs/web.md has the contract.
--
-- What a client sent wrong is nil, why and the status to respond with; what the app's author did wrong raises an error at
-- the app's line. Whatever a client can send is bounded in number and size, and no pattern here takes more than linear time:
-- in Lua that excludes ".-" and any repetition that another one may follow with the same characters.
--
-- The parts lie in web/ and share `own`; what they add to `web` is the module.

local host, parts = ...
local web, own = {}, {}

for _, name in ipairs({ "text", "fields", "headers", "cookies", "multipart", "form", "signing", "request" }) do
  parts[name](host, own, web)
end

return web
