//! `tine.worker` is the number of the worker, already while the app is loading; in the preflight it is 0.

use crate::support::lua::{serve, text_of};

#[test]
fn each_its_own() {
    let server = serve(
        r#"
        local number = require("tine").worker
        tine.log("info", "loaded by " .. number)
        function app(environ, start_response)
          start_response("200 OK", {})
          return tostring(number == environ["tine.worker"] and number == tine.worker)
        end
        "#,
        &["--workers", "2"],
    );
    for (process, number) in [("preflight[", 0), ("worker 0[", 0), ("worker 1[", 1)] {
        let line =
            server.log().lines().find(|line| line.contains(process) && line.contains("loaded by")).map(str::to_string);
        assert!(line.as_ref().is_some_and(|line| line.ends_with(&format!("loaded by {number}"))), "{}", server.log());
    }
    assert_eq!(text_of(&server, "/"), "true");
}
