//! deploy/tine.service and deploy/tine.socket: systemd accepts them, rates them as well confined, and the sockets that
//! it passes are served.

use crate::support::{Client, Server, TINE, eventually, scratch_folder};
use nix::sys::signal::Signal;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The highest acceptable exposure from `systemd-analyze security`, of 10.
const EXPOSURE_MAX: f64 = 2.0;

/// The units in a directory of their own, with the binary under test; `more` is what a drop-in adds to the service.
fn units(more: &str) -> PathBuf {
    let folder = scratch_folder();
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    for name in ["tine.service", "tine.socket"] {
        let text = fs::read_to_string(deploy.join(name)).expect("the unit");
        let text = text.replace("/usr/local/bin/tine", TINE).replace("[Install]", &format!("{more}\n[Install]"));
        let text = if name == "tine.socket" { text.replace(more, "") } else { text };
        fs::write(folder.join(name), text).expect("a copy");
    }
    folder
}

fn analyze(arguments: &[&str], folder: &Path, names: &[&str]) -> Output {
    let paths = names.iter().map(|name| folder.join(name));
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg("--no-pager").args(paths).output().expect("scripts/test installs systemd")
}

#[track_caller]
fn exposure(folder: &Path) -> f64 {
    let output = analyze(&["security", "--offline=true"], folder, &["tine.service"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = said.lines().find_map(|line| line.split_once("exposure level for tine.service: "));
    let number = number.and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no level is printed: {said}{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn systemd_understands_them() {
    let folder = units("");
    let output = analyze(&["verify", "--man=no"], &folder, &["tine.service", "tine.socket"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // It also reads other units of this machine; their mistakes do not matter here.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("tine")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
    fs::remove_dir_all(folder).expect("the copies");
}

#[test]
fn the_service_can_do_little_besides_serving() {
    // As they are, and as in deploy/README.md for port 80 without the socket unit.
    let capability =
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\nPrivateUsers=no";
    for more in ["", capability] {
        let folder = units(more);
        let exposure = exposure(&folder);
        assert!(exposure <= EXPOSURE_MAX, "{exposure} with {more:?}");
        fs::remove_dir_all(folder).expect("the copies");
    }
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/README.md")).expect("a page");
    assert!(capability.lines().all(|line| readme.contains(line)), "the page has another drop-in");
}

#[test]
fn what_systemd_passes_is_served() {
    let folder = scratch_folder();
    let path = folder.join("socket");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number");
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--listen", &free.to_string(), "--listen", path.to_str().expect("UTF-8"), "--fdname", "http:unix"]);
    let mut server = Server::spawn(command.args([TINE, "run", "--workers", "2"]));
    // The first connection starts the server, and waits for it.
    let mut client = eventually("systemd listens", || Client::try_connect_unix(&path).ok());
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
    server.wait_ready();
    assert_eq!(server.address(), free);
    assert_eq!(server.get("/health").status, 200);
    assert!(server.stdout().contains(&format!("unix:{}", path.display())), "{}", server.stdout());
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
    assert!(path.exists(), "systemd removes it");
    fs::remove_dir_all(folder).expect("the folder");
}
