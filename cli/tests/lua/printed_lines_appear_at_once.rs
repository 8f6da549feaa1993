//! What an app prints appears on standard output line by line, while the server runs, whatever standard output is.

use crate::support::eventually;
use crate::support::lua::{serve, text_of};

#[test]
fn by_print_and_by_io_write() {
    let server = serve(
        r#"
        function app(environ, start_response)
          io.write("written for ", environ.PATH_INFO, "\n")
          print("printed for " .. environ.PATH_INFO)
          io.stdout:write("to the stream\n")
          start_response("200 OK", {})
          return "done"
        end
        "#,
        &[],
    );
    assert_eq!(text_of(&server, "/a"), "done");
    for line in ["written for /a\n", "printed for /a\n", "to the stream\n"] {
        eventually(&format!("{line:?} is there"), || server.stdout().contains(line).then_some(()));
    }
}
