//! What the app returns whole is sent with Content-Length, in any of the forms that it may have.

use crate::support::lua::serve;

#[test]
fn whole_answers_have_a_length() {
    let server = serve(
        r#"
        local forms = {
          ["/ipairs"] = function() return ipairs({ "hello" }) end,
          ["/table"] = function() return { "hello" } end,
          ["/string"] = function() return "hello" end,
        }
        function app(environ, start_response)
          start_response("200 OK", { { "Content-Type", "text/plain" } })
          return forms[environ.PATH_INFO]()
        end
        "#,
        &[],
    );
    let mut client = server.connect();
    for form in ["/ipairs", "/table", "/string"] {
        client.send(format!("GET {form} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, "hello"), "{form}");
        assert_eq!(response.header("content-length"), Some("5"), "{form}: {}", response.head);
        assert_eq!(response.header("content-type"), Some("text/plain"), "{form}");
    }
}
