//! The server reads from the client as fast as the app reads, and the worker buffers almost nothing of the body.

use crate::support::eventually;
use crate::support::lua::{serve, text_of};

const MIB: usize = 1 << 20;

#[test]
fn a_body_stays_with_the_client_until_it_is_read() {
    let server = serve(
        r#"
        local read = 0
        function app(environ, start_response)
          if environ.PATH_INFO == "/read" then
            start_response("200 OK", {})
            return tostring(read)
          end
          local input = environ["wsgi.input"]
          while true do
            local piece = input:read(65536)
            if not piece then break end
            read = read + #piece
            tine.sleep(1)
          end
        end
        "#,
        &["--max-body", "1G"],
    );
    assert_eq!(text_of(&server, "/read"), "0");
    let before = server.memory_bytes();
    for framed in ["Content-Length: 104857600\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n6400000\r\n"] {
        let mut client = server.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: t\r\n{framed}"));
        let sent = client.send_until_blocked(&[b'x'; 65536], 100 * MIB);
        // What was sent is in the kernel's buffers (tcp_rmem, tcp_wmem: some megabytes each), not in the worker.
        assert!(sent < 64 * MIB, "the server took {sent} bytes");
        let grown = server.memory_bytes().saturating_sub(before);
        assert!(grown < 2 * MIB as u64, "grew by {grown} bytes");
        let read: usize = text_of(&server, "/read").parse().expect("a number");
        assert!((65536..20 * MIB).contains(&read), "the app read {read} bytes");
        // The app continues reading.
        eventually("more is read", || (text_of(&server, "/read") != read.to_string()).then_some(()));
    }
}
