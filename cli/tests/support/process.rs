//! Processes as /proc shows them, and signals to them.

use super::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub fn send_signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap_or_else(|e| panic!("{signal} cannot be sent to {pid}: {e}"));
}

/// Copies a program so that it can be executed at once.
///
/// In a process of its own, like [`write_program`]: a fork of this process in another test meanwhile would hold a file
/// that is written here open until its execve(2), and the program would be "Text file busy" (ETXTBSY).
pub fn copy_program(from: impl AsRef<Path>, to: &Path) {
    let copied = Command::new("cp").arg("--").arg(from.as_ref()).arg(to).status();
    assert!(copied.expect("cp runs").success(), "{} is copied", to.display());
}

/// Writes a program of these bytes that can be executed at once.
pub fn write_program(path: &Path, bytes: &[u8]) {
    let mut sh = Command::new("sh");
    sh.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut sh = sh.spawn().expect("sh runs");
    sh.stdin.take().expect("a pipe").write_all(bytes).expect("it reads");
    assert!(sh.wait().expect("sh ends").success(), "{} is written", path.display());
}

pub fn is_alive(pid: i32) -> bool {
    // A zombie still answers to signal 0.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Stops a process and waits until it is stopped.
#[track_caller]
pub fn freeze(pid: i32) {
    send_signal(pid, Signal::SIGSTOP);
    eventually("the process stands still", || {
        fs::read_to_string(format!("/proc/{pid}/stat")).ok().filter(|stat| stat.contains(") T "))
    });
}

/// Waits until a process sleeps in a call, as an idle worker does.
#[track_caller]
pub fn wait_asleep(pid: i32) {
    eventually("the process sleeps", || {
        fs::read_to_string(format!("/proc/{pid}/stat")).ok().filter(|stat| stat.contains(") S "))
    });
}

/// Established IPv4 connections of this local port: the peer's port and the socket's inode (proc_net_tcp).
pub fn connections_on(port: u16) -> Vec<(u16, String)> {
    let table = fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let port_of = |field: &str| u16::from_str_radix(field.rsplit(':').next()?, 16).ok();
    // The table may have tens of thousands of lines, of connections that other tests have closed.
    let ours = format!(":{port:04X} ");
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_ours = port_of(fields.get(1)?) == Some(port) && *fields.get(3)? == "01";
        is_ours.then_some((port_of(fields[2])?, fields.get(9)?.to_string()))
    };
    table.lines().filter(|line| line.contains(&ours)).filter_map(row).collect()
}

/// The inodes of a process's sockets.
pub fn sockets_of(pid: i32) -> Vec<String> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let target = |entry: io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
    let inode = |path: PathBuf| Some(path.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_string());
    descriptors.filter_map(target).filter_map(inode).collect()
}

/// Pss of /proc/PID/smaps_rollup without Pss_File: the program's own pages are shared with other tests' servers, so
/// this server's share of them grows when another one exits.
pub fn proportional_bytes(pid: i32) -> u64 {
    rollup_bytes(pid, "Pss:").saturating_sub(rollup_bytes(pid, "Pss_File:"))
}

/// Memory that a process has mapped and not allocated, shared or not: the program, its libraries, the scoreboard.
pub fn mapped_bytes(pid: i32) -> u64 {
    rollup_bytes(pid, "Rss:").saturating_sub(rollup_bytes(pid, "Anonymous:"))
}

fn rollup_bytes(pid: i32, name: &str) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kib = |line: &str| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
    rollup.lines().find_map(kib).unwrap_or(0) * 1024
}

/// The peak memory of a process (VmHWM), its program file included.
pub fn peak_bytes(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("a number of kilobytes") * 1024
}

/// CPU time that a process has used, user and system, in clock ticks (a hundredth of a second each).
pub fn cpu_ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which ends with the last parenthesis: utime and stime are fields 14 and 15 (proc(5)).
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<u64>().expect("a number of ticks")).sum()
}

/// The processes of a group that are alive.
pub fn group_members(group: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let group_of = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name: state, parent, group (proc_pid_stat(5)).
        stat.rsplit(')').next()?.split_whitespace().nth(2)?.parse::<i32>().ok()
    };
    pids.filter(|&pid| group_of(pid) == Some(group) && is_alive(pid)).collect()
}
