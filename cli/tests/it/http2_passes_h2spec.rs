//! The cases of h2spec, strictly.

use crate::support::Server;
use crate::support::h2spec::{Paths, run};

#[test]
fn http2_passes_h2spec() {
    let server = Server::start(&["--workers", "1"]);
    let (cases, failed) = run(server.address(), Paths { get: "/bin/1K", post: "/upload" });
    assert_eq!((cases, failed), (147, Vec::new()));
}
