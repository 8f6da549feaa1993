//! multipart/form-data is a stream of parts within limits, wherever the reads of its body end, from curl, from Python's
//! clients and from a browser; what it holds in memory does not grow with the upload.

use crate::support::curl::curl;
use crate::support::lua::{CONSOLE, SAID, ask, folder_with, said_by, serve};
use crate::support::peak_bytes;
use crate::support::python::run_python;
use serde_json::{Value, json};
use std::fs;

/// Tells what a body is: as a stream and as a form, whole, byte by byte, and split once at each place, which is always the same.
const SPLIT: &str = r#"
local web = require("tine.web")
local function input_of(pieces)
  local at = 0
  return { read = function(_, count)
    at = at + 1
    local piece = pieces[at]
    if piece and #piece > count then
      pieces[at], piece = piece:sub(count + 1), piece:sub(1, count)
      at = at - 1
    end
    return piece
  end }
end
local function told(content_type, pieces)
  local function request()
    local copy = {}
    for index, piece in ipairs(pieces) do copy[index] = piece end
    return web.request({ CONTENT_TYPE = content_type, ["wsgi.input"] = input_of(copy) })
  end
  local text = {}
  for part, why, status in request():parts({ parts_max = 3, header_bytes_max = 100 }) do
    if not part then
      text[#text + 1] = status .. " " .. why
      break
    end
    local content, failed, failed_status = {}, nil, nil
    repeat
      local piece
      piece, failed, failed_status = part:read(3)
      content[#content + 1] = piece
    until not piece
    if not failed then
      text[#text + 1] = ("[%s|%s|%s|%s]"):format(part.name, part.filename or "-", part.type, table.concat(content))
    end
  end
  local form, files, status = request():form({ fields_max = 2, files_max = 1, header_bytes_max = 100 })
  local is_wrong = text[#text] and text[#text]:match("^%d+ ")
  assert(is_wrong and not form or not is_wrong, tostring(files))
  return table.concat(text)
end
function app(environ, start_response)
  local body = environ["wsgi.input"]:read()
  local content_type = environ.HTTP_X_TYPE
  local expected, bytes = told(content_type, { body }), {}
  for index = 1, #body do
    bytes[index] = body:sub(index, index)
    assert(told(content_type, { body:sub(1, index), body:sub(index + 1) }) == expected, index)
  end
  assert(told(content_type, bytes) == expected)
  start_response("200 OK", {})
  return expected
end
"#;

const TYPE: &str = "multipart/form-data; boundary=B";

/// A body of one part whose head is this.
fn one(head: &str) -> String {
    format!("--B\r\n{head}\r\n\r\nx\r\n--B--\r\n")
}

#[test]
fn wherever_its_pieces_end() {
    let server = serve(SPLIT, &[]);
    let d = "Content-Disposition: form-data; name=";
    for (body, expected) in [
        ("--B--".to_string(), ""),
        ("--B--\r\n".to_string(), ""),
        (format!("--B\r\n{d}a\r\n\r\n1\r\n--B--"), "[a|-|text/plain|1]"),
        (
            format!("--B\r\n{d}\"a\"\r\n\r\n\r\n--B\r\n{d}b\r\n\r\n\r\n\r\n--B--\r\n"),
            "[a|-|text/plain|][b|-|text/plain|\r\n]",
        ),
        (format!("a preamble\r\n--B  \t\r\n{d}a\r\n\r\n1\r\n--B--an epilogue\r\n--B\r\n"), "[a|-|text/plain|1]"),
        // What begins like a delimiter.
        (
            format!("--B\r\n{d}a\r\n\r\n\r\n--\r\n--A\r\n-B\r\r\n--\r\n--B--"),
            "[a|-|text/plain|\r\n--\r\n--A\r\n-B\r\r\n--]",
        ),
        (format!("--B\r\n{d}a\r\n\r\n--B\r\n--B--"), "[a|-|text/plain|--B]"),
        // As browsers send files.
        (one(&format!("{d}\"f\"; filename=\"a.png\"\r\nContent-Type: image/png")), "[f|a.png|image/png|x]"),
        (
            one(&format!("{d}\"f\"; filename=\"\"\r\nContent-Type: application/octet-stream")),
            "[f||application/octet-stream|x]",
        ),
        (one(&format!("{d}\"%22\"; filename=\"%22%0D%41.txt\"")), "[\"|\"%0D%41.txt|application/octet-stream|x]"),
        (
            one(&format!("{d}\"f\"; filename=\"C:\\dir\\\u{e9}.txt\"")),
            "[f|C:\\dir\\\u{e9}.txt|application/octet-stream|x]",
        ),
        (one(&format!("{d}f; filename=\"a\\\"b\\\\;c.txt\"")), "[f|a\"b\\;c.txt|application/octet-stream|x]"),
        (one(&format!("{d}f; filename=x; filename*=UTF-8''%c3%a9.txt")), "[f|\u{e9}.txt|application/octet-stream|x]"),
        (one(&format!("{d}f; filename*=iso-8859-1'en'%e9")), "[f|\u{e9}|application/octet-stream|x]"),
        (one("content-disposition:Form-Data;name=a;"), "[a|-|text/plain|x]"),
        (one(&format!("X: y\r\n{d}a\r\nContent-Type: Text/X; charset=utf-8")), "[a|-|text/x|x]"),
        // Malformed.
        (String::new(), "400 the body ends before its last boundary"),
        ("--B".to_string(), "400 the body ends within a boundary's line"),
        ("--C--".to_string(), "400 the body ends before its last boundary"),
        (format!("--B\r\n{d}a\r\n\r\n1"), "400 the body ends before its last boundary"),
        (format!("--B\r\n{d}a\r\n\r\n1\r\n--B"), "[a|-|text/plain|1]400 the body ends within a boundary's line"),
        (format!("--B\r\n{d}a\r\n\r\n1\r\n--B-"), "[a|-|text/plain|1]400 the body ends within a boundary's line"),
        (format!("--B\r\n{d}a"), "400 the body ends within the head of a part"),
        (format!("--B\n{d}a\n\n1\n--B--"), "400 the body ends within a boundary's line"),
        (
            format!("--B\r\n{d}a\r\n\r\n1\r\n--BC\r\n\r\n--B--"),
            "[a|-|text/plain|1]400 a boundary is followed by something else",
        ),
        ("--B\r\n\r\n1\r\n\r\n\r\n--B--".to_string(), "400 the head of a part is malformed"),
        (one("X: y"), "400 a part has no Content-Disposition that is form-data with a name"),
        (
            one("Content-Disposition: attachment; name=a"),
            "400 a part has no Content-Disposition that is form-data with a name",
        ),
        (one("Content-Disposition: form-data"), "400 a part has no Content-Disposition that is form-data with a name"),
        (one(&format!("{d}a; name=b")), "400 a part has no Content-Disposition that is form-data with a name"),
        (one(&format!("{d}a; filename=\"b")), "400 a part has no Content-Disposition that is form-data with a name"),
        (one(&format!("{d}a; filename*=x")), "400 a part has no Content-Disposition that is form-data with a name"),
        (one(&format!("{d}a\r\n{d}b")), "400 the head of a part is malformed"),
        (one(&format!("{d}a\r\n folded")), "400 the head of a part is malformed"),
        (one(&format!("{d}a\nX: y")), "400 the head of a part is malformed"),
        (one(&format!("{d}a\0")), "400 the head of a part is malformed"),
        // Limits.
        (one(&format!("{d}a\r\nX: {}", "y".repeat(100))), "413 the head of a part is too long"),
        (format!("--B{}\r\n", " ".repeat(1025)), "413 a boundary's line is too long"),
        (
            format!("--B\r\n{d}a\r\n\r\n\r\n").repeat(4) + "--B--",
            "[a|-|text/plain|][a|-|text/plain|][a|-|text/plain|]413 too many parts",
        ),
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: t\r\nX-Type: {TYPE}\r\nContent-Length: {}", body.len());
        assert_eq!(ask(&server, &head, body.as_bytes()).text(), expected, "{body}\n{}", server.log());
    }
    let boundary = "'()+_,-./:=?09azAZ";
    for (content_type, expected) in [
        (format!("multipart/form-data; boundary=\"{boundary}\""), "[a|-|text/plain|1]"),
        (format!("Multipart/Form-Data;charset=utf-8;Boundary=\"{boundary}\""), "[a|-|text/plain|1]"),
        ("multipart/form-data".to_string(), "400 the boundary of multipart/form-data is missing or malformed"),
        (
            "multipart/form-data; boundary=\"\"".to_string(),
            "400 the boundary of multipart/form-data is missing or malformed",
        ),
        (
            "multipart/form-data; boundary=\"a \"".to_string(),
            "400 the boundary of multipart/form-data is missing or malformed",
        ),
        (
            format!("multipart/form-data; boundary={}", "b".repeat(71)),
            "400 the boundary of multipart/form-data is missing or malformed",
        ),
        ("multipart/mixed; boundary=B".to_string(), "415 the body is not multipart/form-data"),
        ("text/plain".to_string(), "415 the body is not multipart/form-data"),
    ] {
        let body = format!("--{boundary}\r\n{d}a\r\n\r\n1\r\n--{boundary}--");
        let head = format!("POST / HTTP/1.1\r\nHost: t\r\nX-Type: {content_type}\r\nContent-Length: {}", body.len());
        assert_eq!(ask(&server, &head, body.as_bytes()).text(), expected, "{content_type}\n{}", server.log());
    }
}

/// Tells the form as JSON.
const FORM: &str = r#"
local web, json, crypto = require("tine.web"), require("tine.json"), require("tine.crypto")
function app(environ, start_response)
  local form, files, status = web.request(environ):form()
  if not form then
    start_response(status, {})
    return files .. "\n"
  end
  local told = json.array({})
  for _, pair in ipairs(form) do
    told[#told + 1] = json.array({ pair[1], pair[2] })
  end
  for _, pair in ipairs(files) do
    local file = pair[2]
    local first = file:read(1)
    file:rewind()
    local content = file:read()
    assert(file:read(1) == nil and #content == file.size and (first or "") == content:sub(1, 1))
    told[#told + 1] = json.array({ pair[1], file.filename, file.type, file.size, crypto.to_hex(crypto.sha256(content)) })
  end
  start_response("200 OK", { { "Content-Type", "application/json" } })
  return json.encode(told)
end
"#;

#[test]
fn curl_uploads() {
    let server = serve(FORM, &[]);
    let folder = folder_with(&[("a\"b.txt", "the file\n"), ("large.bin", &"0123456789".repeat(30_000)), ("empty", "")]);
    let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_string();
    let told = curl(&[
        "-F",
        "a=1",
        "-F",
        "a=tine \u{2646}",
        "-F",
        &format!("f=@\"{}\"", file("a\\\"b.txt")),
        "-F",
        &format!("f=@{};type=image/png", file("large.bin")),
        "-F",
        &format!("f=@{};filename=\u{e9}", file("empty")),
        &server.url("/"),
    ])
    .text();
    let expected = json!([
        ["a", "1"],
        ["a", "tine \u{2646}"],
        ["f", "a\"b.txt", "text/plain", 9, "1b04e0c5fa06ea2fb2ee7e1adaed69eb4d6bd88ae94bc3d1cc3c7a0b8e1e1d0f"],
        ["f", "large.bin", "image/png", 300_000, ""],
        [
            "f",
            "\u{e9}",
            "application/octet-stream",
            0,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        ],
    ]);
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|e| panic!("{e}: {told}\n{}", server.log()));
    for (part, expected) in told.as_array().expect("parts").iter().zip(expected.as_array().expect("parts")) {
        let known = |part: &Value| part.as_array().map(|part| part[..part.len().min(4)].to_vec());
        assert_eq!(known(part), known(expected));
    }
    assert_eq!(told[4], expected[4]);
}

#[test]
fn pythons_clients_and_a_browser_upload() {
    let server = serve(FORM, &[]);
    run_python("uploads.py", &[&server.url("")]);
}

#[test]
fn a_form_over_its_limits_is_a_413() {
    let server = serve(&[SAID, CONSOLE].concat(), &[]);
    for (limit, expected) in [
        ("", "2 2 1 6"),
        ("fields_max = 2, files_max = 1, form_bytes_max = 8, file_bytes_max = 6, spool_bytes = 6", "2 2 1 6"),
        ("spool_bytes = 5", "2 2 1 6"),
        ("spool_bytes = 0", "2 2 1 6"),
        ("fields_max = 1", "nil too many fields 413"),
        ("files_max = 0", "nil too many files 413"),
        // Names count, those of files too.
        ("form_bytes_max = 7", "nil a part is too long 413"),
        ("form_bytes_max = 2", "nil a part is too long 413"),
        ("file_bytes_max = 5", "nil a file is too long 413"),
        ("file_bytes_max = 5, spool_bytes = 1", "nil a file is too long 413"),
    ] {
        let statements = format!(
            r#"
            local function part(disposition, content)
              return "--B\r\nContent-Disposition: form-data; name=" .. disposition .. "\r\n\r\n" .. content .. "\r\n"
            end
            local body = part("f; filename=x", "123456") .. part("a", "22") .. part("b", "333") .. "--B--"
            local input = {{ read = function() local all = body body = nil return all end }}
            local request = web.request({{ CONTENT_TYPE = "multipart/form-data; boundary=B", ["wsgi.input"] = input }})
            local form, files, status = request:form({{ {limit} }})
            if not form then return form, files, status end
            return #form, #form.a, #files, #files.f:read()
            "#
        );
        assert_eq!(said_by(&server, &statements), expected, "{limit}");
    }
}

#[test]
fn what_a_part_says_of_itself_is_heeded() {
    let server = serve(&[SAID, CONSOLE].concat(), &[]);
    for (head, content, limits, expected) in [
        (r#"form-data; name="a""#, "1", "", "1 0 1"),
        // An input in which no file was chosen, and a client that does not tell the name of one.
        (r#"form-data; name="a"; filename="""#, "", "", "0 0 -"),
        (r#"form-data; name="a"; filename="""#, "1", "", "0 1 -"),
        ("form-data; name=a\r\nContent-Type: text/plain; charset=ISO-8859-1", "\\233", "", "1 0 \u{e9}"),
        (
            "form-data; name=a\r\nContent-Type: text/plain; charset=koi8-r",
            "1",
            "",
            "nil a field has a character set that is not known 415",
        ),
        (
            "form-data; name=a; name=b",
            "1",
            "",
            "nil a part has no Content-Disposition that is form-data with a name 400",
        ),
        ("form-data; name=abc; filename=x", "", "form_bytes_max = 3", "0 1 -"),
        ("form-data; name=abc; filename=x", "", "form_bytes_max = 2", "nil the form is too long 413"),
    ] {
        let statements = format!(
            r#"
            local body = "--B\r\nContent-Disposition: " .. ([=[{head}]=]):gsub("\n", "\r\n") .. "\r\n\r\n{content}\r\n--B--"
            local input = {{ read = function() local all = body body = nil return all end }}
            local request = web.request({{ CONTENT_TYPE = "multipart/form-data; boundary=B", ["wsgi.input"] = input }})
            local form, files, status = request:form({{ {limits} }})
            if not form then return form, files, status end
            return #form, #files, form.a or "-"
            "#
        );
        assert_eq!(said_by(&server, &statements), expected, "{head} {limits}");
    }
}

#[test]
fn a_part_is_read_as_it_is_needed() {
    let server = serve(&[SAID, CONSOLE].concat(), &[]);
    let head = r#"
        local body = ""
        for name, content in ("a=12345 b=6 c=789"):gmatch("(%w)=(%w+)") do
          body = body .. "--B\r\nContent-Disposition: form-data; name=" .. name .. "\r\n\r\n" .. content .. "\r\n"
        end
        body = body .. "--B--"
        local input = { read = function() local all = body body = nil return all end }
        local request = web.request({ CONTENT_TYPE = "multipart/form-data; boundary=B", ["wsgi.input"] = input })
        local parts = request:parts()
    "#;
    for (statements, expected) in [
        ("local a = parts() return a:read(2), a:read(2), a:read(2), a:read(2)", "12 34 5 nil"),
        ("local a = parts() return a:read_all(5), a:read_all(5)", "12345 "),
        ("local a = parts() a:read(1) return a:read_all(3)", "nil a part is too long 413"),
        // What is not read is skipped.
        ("local a = parts() a:read(1) parts() return parts():read_all(9)", "789"),
        ("local a = parts() parts() return a:read(1)", "nil the part was left behind 500"),
        ("parts() parts() parts() return parts(), parts()", "nil nil"),
        (
            "return pcall(function() local text = parts():read(0) end)",
            "false [string \"local web, json, crypto, environ = ... ...\"]:10: part:read takes a number of bytes, from 1",
        ),
        ("local again = request:parts() return again()", "false the body was read already, by parts 500"),
        ("return request:form()", "nil the body was read already, by parts 500"),
        ("return request:body()", "nil the body was read already, by parts 500"),
        // A loop ends, also where it does not look at what it gets.
        ("body = body:sub(1, -8) parts() parts() parts() local failed = parts() return failed, parts()", "false nil"),
        (
            "return pcall(function() local form = web.request({}):form({ filemax = 1 }) end)",
            "false [string \"local web, json, crypto, environ = ... ...\"]:10: there is no limit filemax",
        ),
        // What is announced as too long is not read.
        ("return web.request({ CONTENT_LENGTH = '11' }):body(10)", "nil the body is too long 413"),
    ] {
        assert_eq!(said_by(&server, &format!("{head}{statements}")), expected, "{statements}");
    }
}

#[test]
fn a_file_is_saved_as_a_whole() {
    let folder = folder_with(&[("old.txt", "old")]);
    let server = serve(&[SAID, CONSOLE].concat(), &[]);
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_string();
    for (name, limits, expected) in [
        ("old.txt", "", "200000"),
        ("new.txt", "", "200000"),
        ("none/new.txt", "", "nil"),
        ("short.txt", ", 199999", "nil a file is too long 413"),
    ] {
        for way in [
            format!("request:parts()():save({:?}{limits})", path(name)),
            format!("select(2, request:form()).f:save({:?})", path(name)),
            // Also what was read before.
            format!("(function(f) f:read(3) return f:save({:?}) end)(select(2, request:form()).f)", path(name)),
        ] {
            let statements = format!(
                r#"
                local body = "--B\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\n" .. ("x"):rep(200000) .. "\r\n--B--"
                local input = {{ read = function() local all = body body = nil return all end }}
                local request = web.request({{ CONTENT_TYPE = "multipart/form-data; boundary=B", ["wsgi.input"] = input }})
                return {way}
                "#
            );
            if limits.is_empty() || way.contains("parts") {
                assert!(said_by(&server, &statements).starts_with(expected), "{way}");
            }
        }
    }
    assert_eq!(fs::read(path("old.txt")).expect("a file").len(), 200_000);
    let mut names: Vec<_> =
        fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
    names.sort();
    assert_eq!(names, ["new.txt", "old.txt"], "nothing is left of what failed");
}

#[test]
fn an_upload_of_any_size_takes_little_memory() {
    let server = serve(
        r#"
        local web = require("tine.web")
        function app(environ, start_response)
          local request, bytes = web.request(environ), 0
          if request.path == "/form" then
            local _, files = request:form()
            bytes = files.f.size
          else
            local part = request:parts()()
            for piece in function() return part:read(10000) end do bytes = bytes + #piece end
          end
          start_response("200 OK", {})
          return tostring(bytes)
        end
        "#,
        &["--max-body", "100M"],
    );
    for path in ["/form", "/parts"] {
        let worker = server.workers()[0];
        let before = peak_bytes(worker);
        let start = "--B\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\n";
        let length = start.len() + (64 << 20) + 9;
        let mut client = server.connect();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nContent-Type: {TYPE}\r\nContent-Length: {length}\r\n\r\n{start}"
        ));
        // Many bytes of it could begin a delimiter.
        let piece = b"\r\n--\r\r\n-".repeat(1 << 17);
        for _ in 0..64 {
            client.send(&piece);
        }
        client.send(b"\r\n--B--\r\n");
        assert_eq!(client.response().text(), (64 << 20).to_string(), "{}", server.log());
        // The kernel's numbers lag behind, so the second may be the smaller one.
        let grown = peak_bytes(worker).saturating_sub(before);
        assert!(grown < 16 << 20, "{path}: 64 MiB passed through, and the worker's memory grew by {} KiB", grown >> 10);
    }
}
