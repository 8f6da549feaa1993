//! Whatever takes the lines of the access log, and however slowly: requests go on, what is dropped is counted and said
//! once, and what arrives are whole lines.

use crate::support::access_log::Logged;
use crate::support::{Server, TINE, eventually, scratch_folder};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::Signal;
use nix::unistd::pipe;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

/// A server whose access log is standard output, which is this.
fn to_stdout(stdout: OwnedFd, options: &[&str]) -> Server {
    let mut command = Command::new(TINE);
    command.args(["run", "0", "--access-log", "-"]).args(options);
    let mut server = Server::spawn_to(Some(stdout.into()), None, &mut command);
    let said = server.wait_log("http://");
    let url = said.split_once("http://").expect("a URL").1;
    server.address = url.split(|c: char| c.is_whitespace() || c == ',').next().and_then(|address| address.parse().ok());
    assert!(server.address.is_some(), "{said}");
    server
}

/// Sends requests on one connection, and reads their responses.
fn ask(server: &Server, path: &str, count: usize) {
    let mut client = server.connect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n");
    for _ in 0..count.div_ceil(50) {
        client.send(request.repeat(50));
        for _ in 0..50 {
            assert_eq!(client.response().status, 200);
        }
    }
}

/// The number in a line of the log that begins like this.
fn number_after(said: &str, before: &str) -> usize {
    let rest = said.split_once(before).unwrap_or_else(|| panic!("{before}: {said}")).1;
    rest.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn a_reader_that_stops_is_not_waited_for() {
    let (reader, writer) = pipe().expect("a pipe");
    let mut server = to_stdout(writer, &["--workers", "1", "--access-log-format", "line of %U %s"]);
    let path = format!("/health/{}", "x".repeat(200));
    ask(&server, &path, 2000);
    let said = server.wait_log("access log: lines are dropped");
    assert!(said.contains("standard output takes none: it is full, and nothing reads it"), "{said}");
    assert_eq!(said.matches("access log: ").count(), 1, "said once: {said}");
    // It reads again.
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("nonblocking");
    let (mut reader, mut read) = (File::from(reader), Vec::new());
    let said = eventually("it is said how many were dropped", || {
        // An error: there is nothing more for now.
        let _ = reader.read_to_end(&mut read);
        Some(server.log()).filter(|said| said.contains("takes lines again"))
    });
    assert_eq!(said.matches("access log: ").count(), 2, "{said}");
    let dropped = number_after(&said, "standard output takes lines again; ");
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    let _ = reader.read_to_end(&mut read);
    let text = String::from_utf8(read).expect("text");
    let lines = text.lines().filter(|line| *line == format!("line of {path} 200")).count();
    assert_eq!(lines + dropped, 2000);
    assert_eq!(text.matches("line of ").count(), lines, "all are whole");
}

#[test]
fn a_full_disk_is_said_once_and_the_server_serves_on() {
    let options = ["--workers", "1", "--access-log", "/dev/full", "--access-log-format", "%U %{User-Agent}i"];
    let mut server = Server::start(&options);
    let path = format!("/health/{}", "x".repeat(500));
    for _ in 0..5 {
        ask(&server, &path, 200);
    }
    let said = server.wait_log("access log: lines are dropped, as /dev/full takes none: No space left on device");
    assert_eq!(said.matches("access log: ").count(), 1, "{said}");
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    assert_eq!(number_after(&server.wait_log("lines were dropped, as /dev/full"), "access log: "), {
        let said = server.log();
        let at = said.rfind("access log: ").expect("the number");
        number_after(&said[at..], "access log: ")
    });
}

/// A file system of 64 KiB, which is unmounted when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`: this process may not mount one.
    fn mount(at: PathBuf) -> Option<SmallDisk> {
        fs::create_dir(&at).expect("a directory");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tine-test"]).arg(&at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| SmallDisk(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // --lazy: a server may still have a file there, if the test has failed.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_that_has_room_again_gets_lines_again() {
    let folder = scratch_folder();
    let Some(disk) = SmallDisk::mount(folder.join("disk")) else {
        println!("skipped: mount is refused");
        return;
    };
    let log = disk.0.join("log");
    let name = log.to_str().expect("UTF-8");
    let mut server = Server::start(&["--workers", "1", "--access-log", name, "--access-log-format", "line of %U %s"]);
    let path = format!("/health/{}", "x".repeat(200));
    ask(&server, &path, 2000);
    server.wait_log(&format!("access log: lines are dropped, as {name} takes none: No space left on device"));
    ask(&server, &path, 500);
    assert_eq!(server.log().matches("access log: ").count(), 1, "said once: {}", server.log());
    let larger = Command::new("mount").args(["-o", "remount,size=8m"]).arg(&disk.0).status().expect("mount(8)");
    assert!(larger.success());
    let dropped = number_after(&server.wait_log("takes lines again"), &format!("{name} takes lines again; "));
    assert_eq!(server.log().matches("access log: ").count(), 2, "{}", server.log());
    ask(&server, &path, 100);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    let text = fs::read_to_string(&log).expect("text");
    let whole = format!("line of {path} 200");
    let lines = text.lines().filter(|line| *line == whole).count();
    assert_eq!((lines + dropped, dropped > 0), (2600, true));
    // Where the disk was full, a line was cut, and is there whole after that.
    let others: Vec<&str> = text.lines().filter(|line| *line != whole).collect();
    assert!(others.len() <= 1 && others.iter().all(|cut| whole.starts_with(cut)), "{others:?}");
    drop(disk);
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn lines_of_several_workers_never_mix() {
    let format = "begin %U %{X}i end";
    let long = "y".repeat(6000);
    let request = format!("GET /health/{} HTTP/1.1\r\nHost: t\r\nX: {long}\r\n\r\n", "x".repeat(3000));
    let load = |server: &Server| {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut client = server.connect();
                    for _ in 0..100 {
                        client.send(&request);
                        assert_eq!(client.response().status, 200);
                    }
                });
            }
        });
    };
    let logged = Logged::start(&["--workers", "4", "--accept", "plain", "--access-log-format", format]);
    load(&logged.server);
    let whole = format!("begin /health/{} {long} end", "x".repeat(3000));
    assert!(logged.lines(800).iter().all(|line| *line == whole));
    // A pipe takes no more than 4096 bytes at once: longer lines are cut to that, within their values.
    let (reader, writer) = pipe().expect("a pipe");
    let mut server = to_stdout(writer, &["--workers", "4", "--accept", "plain", "--access-log-format", format]);
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).expect("text");
        text
    });
    load(&server);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    let text = reading.join().expect("it reads");
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("begin")).collect();
    assert!(lines.len() > 100, "{} lines", lines.len());
    for line in lines {
        assert!(line.len() < 4096 && line.starts_with("begin /health/xxx") && line.ends_with("... end"), "{line}");
        assert_eq!((line.matches("begin").count(), line.matches("end").count()), (1, 1), "{line}");
    }
}

#[test]
fn a_rotation_under_load_loses_nothing() {
    let logged = Logged::start(&["--workers", "2", "--accept", "plain", "--access-log-format", "line %s"]);
    let (server, path) = (&logged.server, &logged.path);
    let old = |number: usize| path.with_extension(number.to_string());
    let clients = 4;
    std::thread::scope(|scope| {
        let load: Vec<_> = (0..clients).map(|_| scope.spawn(|| ask(server, "/health", 2000))).collect();
        for number in 0..3 {
            eventually("some lines", || (logged.text().lines().count() > 100).then_some(()));
            fs::rename(path, old(number)).expect("renamed");
            match number {
                0 => server.signal(Signal::SIGUSR1),
                _ => assert_eq!(server.ctl(&["reopen-logs"]).status.code(), Some(0)),
            }
            eventually("a new file", || path.exists().then_some(()));
        }
        load.into_iter().for_each(|one| one.join().expect("all are answered"));
    });
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    let all = || text(path.clone()) + &(0..3).map(|number| text(old(number))).collect::<String>();
    eventually("a line for each request", || (all().lines().count() >= clients * 2000).then_some(()));
    assert!(all().lines().all(|line| line == "line 200"));
    assert_eq!(all().lines().count(), clients * 2000);
    // A worker forked from now on has the new file as well.
    let before = server.workers();
    server.signal(Signal::SIGHUP);
    eventually("a reload", || before.iter().all(|pid| !server.workers().contains(pid)).then_some(()));
    let lines = text(path.clone()).lines().count();
    server.get("/health");
    eventually("the new worker's line", || (text(path.clone()).lines().count() == lines + 1).then_some(()));
}

#[test]
fn syslog_and_the_journal_get_a_message_for_each_line() {
    let folder = scratch_folder();
    let path = folder.join("socket");
    for (target, parts) in [
        (
            format!("syslog:{},facility=local0", path.display()),
            &["<134>1 20", " tine ", " access - GET /health?a 200"][..],
        ),
        (
            format!("journald:{}", path.display()),
            &["PRIORITY=6\nSYSLOG_IDENTIFIER=tine\n", "\nMESSAGE=GET /health?a 200\n"],
        ),
    ] {
        let daemon = UnixDatagram::bind(&path).expect("a socket");
        let server = Server::start(&["--workers", "1", "--access-log", &target, "--access-log-format", "%m %U%q %s"]);
        let ask = |daemon: &UnixDatagram| {
            server.get("/health?a");
            let mut bytes = [0; 4096];
            let count = daemon.recv(&mut bytes).expect("a message");
            let message = String::from_utf8_lossy(&bytes[..count]).into_owned();
            for part in parts {
                assert!(message.contains(part), "{part:?} in {message:?}");
            }
        };
        ask(&daemon);
        // It is restarted.
        drop(daemon);
        fs::remove_file(&path).expect("removed");
        let daemon = UnixDatagram::bind(&path).expect("a socket");
        ask(&daemon);
        fs::remove_file(&path).expect("removed");
    }
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn a_terminal_gets_a_warning() {
    let pty = openpty(None, None).expect("a pseudo-terminal");
    let mut server = to_stdout(pty.slave.try_clone().expect("a descriptor"), &["--workers", "1"]);
    server.wait_log("WARN master");
    assert!(server.log().contains("the access log goes to a terminal"), "{}", server.log());
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn what_cannot_be_opened_is_refused_at_the_start() {
    let folder = scratch_folder();
    let missing = folder.join("none").join("log");
    for target in [missing.display().to_string(), format!("syslog:{}", missing.display())] {
        let output = crate::support::run_to_end(&["run", "0", "--access-log", &target]);
        assert_eq!(output.status.code(), Some(1), "{target}");
        let line = crate::support::one_line_of(&output);
        assert!(line.contains("--access-log") && line.contains("; give "), "{line}");
    }
    let _ = fs::remove_dir_all(&folder);
}
