//! Whatever a client sends as a form, as cookies or as a token, the app gets fields, or nil, why and a status; never an error,
//! and never more memory than the limits are.

use crate::support::lua::{CONSOLE, SAID, said_by, serve};

/// Bodies and headers that are right, spoiled at random places, and read in pieces of random size.
const SPOILED: &str = r#"
local seed, rounds = ...
math.randomseed(seed)
local random = math.random
local B = "multipart/form-data; boundary=B"
local function part(head, content)
  return "--B\r\nContent-Disposition: form-data; " .. head .. "\r\n\r\n" .. content .. "\r\n"
end
local BODIES = {
  { B, part('name="a"', "1") .. part('name=f; filename="x.txt"\r\nContent-Type: text/plain; charset=latin1', ("y"):rep(300)) .. "--B--\r\n" },
  { B, part('name="a\\"b"; filename*=UTF-8\'\'%c3%a9', "\r\n--\r\n--B") .. part("name=c", "") .. "--B--" },
  { "application/x-www-form-urlencoded; charset=utf-8", "a=1&b=%41%zz+&c&=d&a=%ff" },
  { "application/json", '{"a":[1,2.5,null,{"b":"\\u00e9"}],"c":"x"}' },
}
local BITS = { "\r\n", "\r\n--B", "--B--", "--B", "\0", "\255", '"', "\\", ";", "=", "&", "%", "%4", "name=", "filename*=", "''", ":", " ",
  "[", "{", "]", "\\u", "charset=x", ("z"):rep(200) }
local function spoiled(text)
  for _ = 1, random(0, 3) do
    local at, kind = random(0, #text), random(4)
    if kind == 1 then
      text = text:sub(1, at) .. BITS[random(#BITS)] .. text:sub(at + 1)
    elseif kind == 2 then
      text = text:sub(1, at) .. text:sub(at + 1 + random(0, 20))
    elseif kind == 3 then
      text = text:sub(1, at) .. string.char(random(0, 255)) .. text:sub(at + 2)
    else
      text = text:sub(1, at) .. text:sub(random(0, at + 1), at) .. text:sub(at + 1)
    end
  end
  return text
end
local function input_of(text)
  local at, most = 1, random(2) == 1 and 1 or random(400)
  return { read = function(_, count)
    if at > #text then return nil end
    local piece = text:sub(at, at + math.min(count, random(most)) - 1)
    at = at + #piece
    return piece
  end }
end
local function checked(value, why, status)
  if value then
    return value
  end
  assert(type(why) == "string" and (status == 400 or status == 413 or status == 415), tostring(why) .. tostring(status))
end
local sessions = web.sessions({ keys = { ("k"):rep(16) } })
local good = sessions:cookie({ a = { 1, "x" } }):match("^[^;]*")
local LIMITS = { fields_max = 3, files_max = 2, form_bytes_max = 250, file_bytes_max = 350, spool_bytes = 100, header_bytes_max = 150 }
local accepted = 0
for _ = 1, rounds do
  local pair = BODIES[random(#BODIES)]
  local function request(body)
    return web.request({ CONTENT_TYPE = random(3) == 1 and spoiled(pair[1]) or pair[1], ["wsgi.input"] = input_of(body), CONTENT_LENGTH = spoiled("100"),
      HTTP_COOKIE = spoiled(good .. "; a=1; b=\"2\""), QUERY_STRING = spoiled("a=1&b=%41"), HTTP_HOST = spoiled("example.org:80"),
      SERVER_NAME = "s", SERVER_PORT = "1", HTTP_IF_NONE_MATCH = spoiled('W/"a", "b"'), ["wsgi.url_scheme"] = "http" })
  end
  local body = spoiled(pair[2])
  local asked = request(body)
  local form, files, status = asked:form(LIMITS)
  if checked(form, files, status) then
    accepted = accepted + 1
    for _, pair in ipairs(form) do
      assert(json.encode(pair[1]) and json.encode(pair[2]), "UTF-8")
      assert(json.encode(web.escape(pair[2])) and web.cookie("a", web.url_encode(pair[2]):sub(1, 2000)))
    end
    for _, pair in ipairs(files) do
      assert(json.encode(pair[2].filename) and pair[2]:read() and pair[2].size <= 350)
      assert(pair[2].type:find("^[!-~]+$"))
      local name = web.filename(pair[2].filename)
      assert(not name or not name:find("[%c/\\]") and not name:find("^%.") and #name > 0)
    end
  end
  for part, why, status in request(body):parts(LIMITS) do
    if not part then
      checked(nil, why, status)
      break
    end
    local piece, failed, failed_status
    repeat
      piece, failed, failed_status = part:read(random(50))
      if failed then checked(nil, failed, failed_status) end
    until not piece or random(20) == 1
  end
  checked(request(body):json(250))
  local session = sessions:open(asked)
  assert(next(session) == nil or json.encode(session) == '{"a":[1,"x"]}')
  for _, pair in ipairs(asked.cookies) do
    assert(json.encode(pair[1]) and json.encode(pair[2]), "UTF-8")
  end
  for _, pair in ipairs(asked.query) do
    assert(json.encode(json.array({ pair[1], pair[2] })), "UTF-8")
  end
  assert(asked:url("/"):find("^http://[^/%c]+/$"))
  web.has_current(asked.environ, '"b"')
end
return accepted
"#;

#[test]
fn spoiled_ones_too() {
    // More rounds than the default are one long request.
    let server = serve(&[SAID, CONSOLE].concat(), &["--worker-timeout", "600s"]);
    let rounds = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    // Another one at each run; a failure names it.
    let seed: u32 =
        std::env::var("PROPTEST_RNG_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or_else(|| fastrand::u32(..));
    let statements = SPOILED.replace("= ...\nmath", &format!("= {seed}, {rounds}\nmath"));
    let accepted: u32 = said_by(&server, &statements).parse().expect("a number");
    assert!(accepted > 50 && accepted < rounds, "{accepted} of {rounds} were accepted");
}

/// The most that each limit lets through, held by the VM at one time.
#[test]
fn memory_is_that_of_the_limits() {
    let server = serve(&[SAID, CONSOLE].concat(), &[]);
    let statements = r##"
        -- Repeats a text without end.
        local function endless(first, text)
          local long = text:rep(math.ceil(65536 / #text))
          return { read = function(_, count)
            local piece = first or long
            first = nil
            return piece:sub(1, count)
          end }
        end
        local head = "--B\r\nContent-Disposition: form-data; name="
        local most, told = 0, {}
        for _, case in ipairs({
          { "urlencoded", endless(nil, "a=b&") },
          { "urlencoded", endless(nil, "a") },
          { "multipart", endless(nil, "x") },
          { "multipart", endless("--B\r\n", "X: y\r\n") },
          { "multipart", endless("--B\r\n", "\r\n") },
          { "multipart", endless("--B", " ") },
          { "multipart", endless(head .. "a\r\n\r\n", "x") },
          { "multipart", endless(head .. "a\r\n\r\n", "\r\n--") },
          { "multipart", endless(nil, head .. "a\r\n\r\n\r\n") },
          { "multipart", endless(nil, head .. "a; filename=b\r\n\r\n" .. ("x"):rep(65000) .. "\r\n") },
          { "multipart", endless(head .. "a; filename=b\r\n\r\n", "x"), { file_bytes_max = 2 ^ 20 } },
        }) do
          local kind = case[1] == "urlencoded" and "application/x-www-form-urlencoded" or "multipart/form-data; boundary=B"
          -- An endless preamble is skipped; the server's --max-body ends it.
          local bytes, input = 0, case[2]
          local request = web.request({ CONTENT_TYPE = kind, ["wsgi.input"] = { read = function(_, count)
            most = math.max(most, collectgarbage("count"))
            if bytes > 2 ^ 25 then return nil end
            local piece = input:read(count)
            bytes = bytes + #piece
            return piece
          end } })
          collectgarbage()
          local form, why, status = request:form(case[3])
          assert(not form)
          told[#told + 1] = status
        end
        return most < 16000 and "few", table.concat(told, " ")
    "##;
    assert_eq!(said_by(&server, statements), "few 413 413 400 413 400 413 413 413 413 413 413");
}
