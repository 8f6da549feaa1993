//! Workers that die again and again are replaced with growing delays, the log stays bounded, and the other workers
//! serve.

use crate::apps;
use crate::support::{Server, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Kills the workers that `victims` selects until the time is up; returns how many died.
fn kill_repeatedly(server: &Server, how_long: Duration, victims: impl Fn(i32) -> bool) -> usize {
    let began = Instant::now();
    let mut killed = HashSet::new();
    while began.elapsed() < how_long {
        for worker in server.workers() {
            if victims(worker) && killed.insert(worker) {
                // It may have exited already.
                let _ = kill(Pid::from_raw(worker), Signal::SIGKILL);
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    killed.len()
}

fn is_named(pid: i32, name: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
}

#[test]
fn one_slot_backs_off_while_the_other_serves() {
    let server = Server::start(&["--workers", "2"]);
    let deaths = kill_repeatedly(&server, Duration::from_secs(4), |worker| is_named(worker, "tine: worker 1"));
    // At once, then after at least 75 ms, 150, 300, 600, 1200, 2400: the eighth would die later than 4 s.
    assert!((3..=7).contains(&deaths), "{deaths} deaths");
    assert!(server.log().contains("quick deaths, replacing it in"), "{}", server.log());
    assert!(!server.log().contains("worker 0 (pid"), "the other slot is not affected");
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn many_slots_log_little() {
    let began = Instant::now();
    let server = Server::start(&["--workers", "40"]);
    let deaths = kill_repeatedly(&server, Duration::from_secs(3), |_| true);
    let lines = server.log().lines().filter(|line| line.contains("was killed by")).count();
    let allowed = 20 + began.elapsed().as_secs() as usize / 2 + 1;
    assert!(deaths >= 80, "only {deaths} deaths: too few to test anything");
    assert!((1..=allowed).contains(&lines), "{lines} lines for {deaths} deaths");
    // The next line, two seconds after the last or later, says how many had none.
    eventually("the others are counted", || {
        kill_repeatedly(&server, Duration::from_millis(100), |_| true);
        server.log().contains("like it since the last such line").then_some(())
    });
    assert_eq!(server.get("/health").status, 200, "a new client is served once a worker is back");
}

/// A worker that retires before it has answered a request is of no use, however often it is replaced.
#[test]
fn retiring_before_the_first_answer_backs_off_like_a_crash() {
    let mut command = apps::app("faults");
    let server = Server::spawn(command.args(["run", "0", "--workers", "1"]).env("FAULTS_BOOT", "retire"));
    // At once the first time, then with growing delays: 0.1 s, 0.2 s, 0.4 s, each up to a quarter more or less.
    eventually("later and later", || {
        let log = server.log();
        let late = ["0.3", "0.4", "0.5"].map(|delay| format!("it never answered a request, replacing it in {delay} s"));
        late.iter().any(|words| log.contains(words)).then_some(())
    });
    assert!(!server.log().contains("quick deaths"), "it is not a crash: {}", server.log());
}
