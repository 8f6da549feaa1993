//! A browser, headless Chromium, opens the status page: it shows the server, escapes what clients send, fits a telephone,
//! updates itself, and works without JavaScript. What it must see is in tests/clients/status_page.py.

use crate::support::Server;
use crate::support::admin::admin_of;
use crate::support::python::run_python;

#[test]
fn a_browser_shows_the_status_page() {
    let server = Server::start(&["--workers", "2", "--admin", "0"]);
    let mut client = server.connect();
    client.send("GET /delay/600000?<script>alert(1)</script>'\"&amp; HTTP/1.1\r\nHost: t\r\n\r\n");
    run_python("status_page.py", &[&format!("http://{}", admin_of(&server)), &server.url("")]);
}
