//! A response that the app returns whole, as a string or as a list of all chunks, is sent with Content-Length.

use crate::support::lua::serve;

#[test]
fn whole_answers_have_a_length() {
    let server = serve(
        r#"
        local forms = {
          ["/ipairs"] = function() return ipairs({ "hello" }) end,
          ["/table"] = function() return { "hello" } end,
          ["/string"] = function() return "hello" end,
          ["/many"] = function() return { "he", "", "l", "lo" } end,
          ["/many-ipairs"] = function() return ipairs({ "he", "", "l", "lo" }) end,
          ["/slept"] = function() tine.sleep(0) return { "hel", "lo" } end,
        }
        function app(environ, start_response)
          start_response("200 OK", { { "Content-Type", "text/plain" } })
          return forms[environ.PATH_INFO]()
        end
        "#,
        &[],
    );
    let mut client = server.connect();
    for form in ["/ipairs", "/table", "/string", "/many", "/many-ipairs", "/slept"] {
        client.send(format!("GET {form} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, "hello"), "{form}");
        assert_eq!(response.header("content-length"), Some("5"), "{form}: {}", response.head);
        assert_eq!(response.header("content-type"), Some("text/plain"), "{form}");
    }
}

/// A list too long to be joined is sent chunk by chunk, as there is room.
#[test]
fn and_so_do_long_lists() {
    let server = serve(
        r#"
        function app(environ, start_response)
          local many = {}
          for i = 1, 1000 do many[i] = ("%04d"):format(i):rep(256) end
          many[1001] = 5
          local headers = environ.QUERY_STRING ~= "" and { ["Content-Length"] = environ.QUERY_STRING } or {}
          start_response("200 OK", headers)
          if environ.PATH_INFO == "/ipairs" then return ipairs(many) end
          return many
        end
        "#,
        &[],
    );
    let mut client = server.connect();
    for target in ["/", "/ipairs", "/?1024001", "/ipairs"] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.header("content-length"), Some("1024001"), "{}\n{}", response.head, server.log());
        let expected: String = (1..=1000).map(|i| format!("{i:04}").repeat(256)).chain(["5".to_string()]).collect();
        assert!(response.text() == expected, "{target}");
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!(client.response_to("HEAD").header("content-length"), Some("1024001"));
    }
    client.send("GET /?7 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 500);
    server.wait_log("GET /?7: the body has 1024001 bytes, but Content-Length says 7");
}
