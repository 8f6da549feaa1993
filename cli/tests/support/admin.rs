//! What `--admin` of a server shows.

use super::masters::children_of;
use super::{Client, Response, Server, eventually};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

/// The address of `--admin`, from the server's log: the first, before any upgrade.
#[track_caller]
pub fn admin_of(server: &Server) -> SocketAddr {
    let line = server.wait_log("status page and metrics: http://");
    line.rsplit("http://").next().and_then(|address| address.parse().ok()).expect("an address")
}

#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> Response {
    let mut client = Client::connect(address);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"));
    client.response()
}

#[track_caller]
pub fn json(address: SocketAddr) -> serde_json::Value {
    serde_json::from_slice(&get(address, "/status.json").body).expect("JSON")
}

/// All samples of the metrics, by their names and labels as in the text.
pub fn samples(admin: SocketAddr) -> BTreeMap<String, f64> {
    let text = String::from_utf8(get(admin, "/metrics").body).expect("UTF-8");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').expect("a sample"))
        .map(|(name, value)| (name.to_string(), value.parse().expect("a number")))
        .collect()
}

/// The process that serves `--admin` of this master.
#[track_caller]
pub fn admin_process(master: i32) -> i32 {
    eventually("there is a process of --admin", || try_admin_process(master))
}

pub fn try_admin_process(master: i32) -> Option<i32> {
    children_of(master).into_iter().find(|&pid| is_admin(pid))
}

/// The workers of this master, without the process of `--admin`.
pub fn workers_of(master: i32) -> Vec<i32> {
    children_of(master).into_iter().filter(|&pid| !is_admin(pid)).collect()
}

fn is_admin(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|title| title.starts_with("tine: admin"))
}
