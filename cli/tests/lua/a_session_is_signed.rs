//! Sessions and tokens are accepted as they were signed, by a key that is known, for as long as they are valid, and for nothing
//! else.

use crate::support::lua::{CONSOLE, SAID, ask, said_by, serve};
use crate::support::run_to_end;

/// The primitives, by published vectors (RFC 4231, FIPS 180-4, RFC 4648).
#[test]
fn the_primitives_are_those_of_the_standards() {
    let server = serve(&[SAID, CONSOLE].concat(), &[]);
    for (statements, expected) in [
        (
            r#"return crypto.to_hex(crypto.sha256("abc"))"#,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            r#"return crypto.to_hex(crypto.hmac_sha256(("\11"):rep(20), "Hi There"))"#,
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            r#"return crypto.to_hex(crypto.hmac_sha256("Jefe", "what do ya want for nothing?"))"#,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            r#"return crypto.to_hex(crypto.hmac_sha256(("\170"):rep(131), "Test Using Larger Than Block-Size Key - Hash Key First"))"#,
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            r#"return crypto.to_base64url(""), crypto.to_base64url("fo"), crypto.to_base64url("\251\255\254")"#,
            " Zm8 -__-",
        ),
        (
            r#"return crypto.from_base64url("Zm8"), #crypto.from_base64url("-__-"), crypto.from_base64url("")"#,
            "fo 3  nil",
        ),
        (
            r##"local function none(text) return select("#", crypto.from_base64url(text)) == 2 and crypto.from_base64url(text) == nil end return none("Zm8="), none("Zm9"), none("+//+"), none("Z"), none("Zm 8")"##,
            "true true true true true",
        ),
        (
            r#"return crypto.equal("ab", "ab"), crypto.equal("ab", "ac"), crypto.equal("ab", "a"), crypto.equal("", "")"#,
            "true false false true",
        ),
        (
            r#"return #crypto.random_bytes(0), #crypto.random_bytes(1000), crypto.random_bytes(16) == crypto.random_bytes(16)"#,
            "0 1000 false",
        ),
        ("return crypto.random_bytes(-1)", "nil random_bytes takes a number up to 1048576"),
        ("return crypto.random_bytes(2^21)", "nil random_bytes takes a number up to 1048576"),
    ] {
        assert_eq!(said_by(&server, statements), expected, "{statements}");
    }
}

#[test]
fn a_token_is_accepted_only_as_it_was_signed() {
    let server = serve(&[SAID, CONSOLE].concat(), &[]);
    let head = r#"
        local old, new = ("o"):rep(16), ("n"):rep(16)
        local function signer(keys, purpose, max_age)
          return web.signer({ keys = keys, purpose = purpose or "test", max_age = max_age })
        end
        local token = signer({ old }):sign("ada \0\255")
        -- Signed as it would be, but at another time.
        local function signed_at(seconds)
          local text = crypto.to_base64url("ada") .. "." .. ("%d"):format(math.floor(tine.time()) + seconds)
          return text .. "." .. crypto.to_base64url(crypto.hmac_sha256(crypto.hmac_sha256(old, "tine.web test"), text))
        end
    "#;
    for (statements, expected) in [
        (r#"return signer({ old }):verify(token) == "ada \0\255""#, "true"),
        (r#"return signer({ old }):verify(signer({ old }):sign("")) == """#, "true"),
        // Keys are rotated: the new one signs, both verify.
        (r#"return signer({ new, old }):verify(token) ~= nil, signer({ new }):verify(token)"#, "true nil not signed"),
        (
            r#"return signer({ new }):verify(signer({ new, old }):sign("x")), signer({ old }):verify(signer({ new, old }):sign("x"))"#,
            "x nil not signed",
        ),
        (r#"return signer({ old }, "other"):verify(token)"#, "nil not signed"),
        (
            r#"return signer({ old }):verify(signed_at(-100)), signer({ old }, nil, 200):verify(signed_at(-100)), signer({ old }, nil, 90):verify(signed_at(-100))"#,
            "ada ada nil expired",
        ),
        (
            r#"return signer({ old }):verify(signed_at(-100), 200), signer({ old }):verify(signed_at(-100), 90)"#,
            "ada nil expired",
        ),
        // A clock that is ahead, and one that is wrong.
        (
            r#"return signer({ old }, nil, 10):verify(signed_at(30)), signer({ old }, nil, 10):verify(signed_at(100))"#,
            "ada nil expired",
        ),
        (
            r#"for _, token in ipairs({ "", ".", "..", "...", "a.1.", ".1.", "a.b.c", token .. "a", token .. ".", " " .. token, token:upper(), ("a"):rep(1e6) }) do
              assert(signer({ old }):verify(token) == nil, token)
            end
            return signer({ old }):verify(nil)"#,
            "nil not signed",
        ),
        // Each byte changed, and each bit of it.
        (
            r#"for at = 1, #token do
              for bit = 0, 7 do
                local byte = token:byte(at)
                local changed = math.floor(byte / 2 ^ bit) % 2 == 1 and byte - 2 ^ bit or byte + 2 ^ bit
                local forged = token:sub(1, at - 1) .. string.char(changed) .. token:sub(at + 1)
                assert(signer({ old }):verify(forged) == nil, forged)
              end
            end
            return "none""#,
            "none",
        ),
        (
            r#"return pcall(function() local s = web.signer({ keys = {}, purpose = "x" }) end)"#,
            "false [string \"local web, json, crypto, environ = ... ...\"]:12: there is no key: keys is a list of strings that only the servers know",
        ),
        (
            r#"return pcall(function() local s = web.signer({ keys = { "short" }, purpose = "x" }) end)"#,
            "false [string \"local web, json, crypto, environ = ... ...\"]:12: key 1 is not a string of at least 16 bytes",
        ),
    ] {
        assert_eq!(said_by(&server, &format!("{head}{statements}")), expected, "{statements}");
    }
}

/// Adds to a list that the client carries.
const APP: &str = r#"
local web = require("tine.web")
local sessions = web.sessions({ keys = { ("k"):rep(16) }, name = "s" })
function app(environ, start_response)
  local request = web.request(environ)
  local session, why = sessions:open(request)
  if request.path == "/leave" then
    session = {}
  else
    session.seen = session.seen or {}
    table.insert(session.seen, request.path)
  end
  local cookie, wrong = sessions:cookie(session)
  start_response("200 OK", cookie and { { "Set-Cookie", cookie } } or {})
  return tostring(why) .. " " .. (wrong or table.concat(session.seen or {}, ","))
end
"#;

#[test]
fn a_session_goes_to_the_client_and_back() {
    let server = serve(APP, &["--workers", "2"]);
    let visit = |path: &str, cookies: &str| {
        let response = ask(&server, &format!("GET {path} HTTP/1.1\r\nHost: t\r\nCookie: {cookies}"), b"");
        let set = response.header("set-cookie").unwrap_or("").to_string();
        (response.text(), set.split(';').next().unwrap_or("").to_string(), set)
    };
    let (told, cookie, set) = visit("/a", "");
    assert_eq!(told, "no cookie /a");
    assert!(cookie.len() > 60 && set == format!("{cookie}; Path=/; Max-Age=1209600; HttpOnly; SameSite=Lax"), "{set}");
    let (told, next, _) = visit("/b", &cookie);
    assert_eq!(told, "nil /a,/b");
    assert_eq!(visit("/c", &next).0, "nil /a,/b,/c");
    // One that is not ours may come first, as its path is longer or as it was set for the whole domain.
    assert_eq!(visit("/c", &format!("s=x; {next}; s=y")).0, "nil /a,/b,/c");
    // Four of them are looked at, so that a client cannot have as many verified as it likes.
    assert_eq!(visit("/c", &format!("s=1; s=2; s=3; {next}")).0, "nil /a,/b,/c");
    assert_eq!(visit("/c", &format!("s=1; s=2; s=3; s=4; {next}")).0, "not signed /c");
    assert_eq!(visit("/c", "s=x").0, "not signed /c");
    assert_eq!(visit("/c", &next.replace("s=", "t=")).0, "no cookie /c");
    let (told, _, set) = visit("/leave", &next);
    assert_eq!((told.as_str(), set.as_str()), ("nil ", "s=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"));
    // One that no browser would keep.
    let (told, _, set) = visit(&format!("/{}", "x".repeat(4000)), &next);
    assert!(told.contains("longer than the 4096 that browsers keep") && set.is_empty(), "{told}");
}

#[test]
fn sessions_without_a_secret_do_not_start() {
    let folder = crate::support::lua::folder_with(&[(
        "app.lua",
        "local web = require('tine.web')\nlocal sessions = web.sessions({ keys = { os.getenv('NO_SUCH_SECRET') } })\nfunction app() end\n",
    )]);
    let path = folder.join("app.lua");
    let output = run_to_end(&["check", path.to_str().expect("UTF-8")]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("app.lua:2: there is no key"), "{said}");
}
