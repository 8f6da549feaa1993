//! Python's websockets library and the WebSocket endpoints interoperate, directly and through proxies.

use crate::support::Server;
use crate::support::proxy::{Proxy, ProxyKind};
use crate::support::python::run_python;

#[test]
fn directly() {
    let server = Server::start(&["--workers", "2"]);
    run_python("websocket.py", &[&format!("ws://{}", server.address())]);
}

#[test]
fn through_nginx() {
    through(ProxyKind::Nginx);
}

#[test]
fn through_haproxy() {
    through(ProxyKind::HaProxy);
}

#[track_caller]
fn through(kind: ProxyKind) {
    let server = Server::start(&["--workers", "2"]);
    let proxy = Proxy::start(kind, &server);
    let socket = proxy.socket();
    run_python("websocket.py", &["ws://tine", socket.to_str().expect("UTF-8")]);
}

#[test]
fn it_gets_1001_when_the_server_stops() {
    let mut server = Server::start(&["--workers", "2", "--graceful-timeout", "60s"]);
    run_python("websocket_drain.py", &[&format!("ws://{}", server.address()), &server.pid().to_string()]);
    assert!(server.wait_exit().success());
}
