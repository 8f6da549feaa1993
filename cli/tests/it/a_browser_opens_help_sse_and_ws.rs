//! A browser, headless Chromium, opens /help; from there an EventSource listens to /sse and WebSockets talk to /ws.
//! What each must see is in tests/clients/browser.py; an error in the browser's console also fails the test.

use crate::support::Server;
use crate::support::python::run_python;

#[test]
fn a_browser_opens_help_sse_and_ws() {
    let server = Server::start(&["--workers", "2"]);
    run_python("browser.py", &[&server.url("")]);
}
