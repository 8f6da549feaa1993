//! Real clients of gRPC get from the origin what they ask for: grpcio, and the official interop client.

use crate::support::python::run_python;
use crate::support::{Server, within_patience};
use std::path::Path;

#[test]
fn grpcio_calls_and_is_told_of_the_drain() {
    let mut server = Server::start(&["--workers", "2", "--graceful-timeout", "60s"]);
    let descriptors = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("apps/src/testbed/grpc/descriptors.bin");
    let address = server.address().to_string();
    run_python("grpc_calls.py", &[&address, descriptors.to_str().expect("UTF-8"), &server.pid().to_string()]);
    assert!(server.wait_exit().success());
}

/// All but those that need TLS or accounts.
const CASES: [&str; 15] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "client_compressed_unary",
    "client_compressed_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "unimplemented_method",
    "unimplemented_service",
    "status_code_and_message",
    "custom_metadata",
];

#[test]
fn the_interop_client_of_ruby_passes_every_case() {
    let server = Server::start(&["--workers", "2"]);
    // Debian's package of the gem has it.
    let program = r#"load $0 = Gem::Specification.find_by_name("grpc").gem_dir + "/src/ruby/pb/test/client.rb""#;
    let port = format!("--server_port={}", server.address().port());
    for case in CASES {
        let mut ruby = within_patience("ruby");
        ruby.args(["-e", program, "--", "--server_host=127.0.0.1", &port, &format!("--test_case={case}")]);
        let output = ruby.output().unwrap_or_else(|e| panic!("ruby cannot be run ({e}); scripts/test installs it"));
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("OK: "), "{case}: {}\n{said}{errors}", output.status);
    }
}
