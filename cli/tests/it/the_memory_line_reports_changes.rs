//! `--mem-interval`: the master logs memory, connections, requests in flight and answered requests, only when something
//! changed.

use crate::support::{Server, eventually, mapped_bytes, send_signal};
use nix::sys::signal::Signal;

fn lines(server: &Server) -> Vec<String> {
    server.log().lines().filter(|line| line.contains("] memory ")).map(str::to_string).collect()
}

/// Waits for a line with these counts.
#[track_caller]
fn wait_counts(server: &Server, connections: i64, in_flight: i64, requests: i64) {
    let expected = [connections, in_flight, requests];
    eventually(&format!("a line with {expected:?}; the log says:\n{}", server.log()), || {
        lines(server).iter().any(|line| counts(line).map(|(count, _)| count) == expected).then_some(())
    });
}

/// Connections, requests in flight and requests: the count, and the change since the previous line.
#[track_caller]
fn counts(line: &str) -> [(i64, i64); 3] {
    ["connections ", "in flight ", "requests "].map(|name| {
        let mut numbers = line.split(name).nth(1).unwrap_or_default().split([' ', '(', ')', ',']);
        let mut number = || numbers.find(|text| !text.is_empty())?.parse().ok();
        number().zip(number()).unwrap_or_else(|| panic!("no {name}in {line:?}"))
    })
}

/// How often the master went to sleep, which it does after each sample.
fn sleeps(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the master runs");
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.and_then(|count| count.trim().parse().ok()).expect("a count")
}

#[test]
fn a_line_has_the_counts_and_their_changes() {
    let server = Server::start(&["--workers", "8", "--mem-interval", "100ms"]);
    let first = eventually("a first line", || lines(&server).into_iter().next());
    assert!(first.contains(&format!(" INFO master[{}] memory ", server.pid())), "{first}");
    // What all processes have allocated, and the program's pages once.
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    eventually(&format!("the memory is said; the log says:\n{}", server.log()), || {
        let processes = server.workers().into_iter().chain([server.pid()]);
        let expected = mib(server.memory_bytes()) + mib(processes.map(mapped_bytes).max()?);
        let said: f64 = lines(&server).last()?.split(" memory ").nth(1)?.split('M').next()?.parse().expect("MiB");
        ((said - expected).abs() < 0.3).then_some(())
    });

    let mut kept = server.connect();
    kept.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(kept.response().status, 200);
    wait_counts(&server, 1, 0, 1);
    kept.send("POST /delay/1 HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n");
    wait_counts(&server, 1, 1, 1);
    kept.send("x");
    assert_eq!(kept.response().status, 200);
    wait_counts(&server, 1, 0, 2);
    drop(kept);
    wait_counts(&server, 0, 0, 2);
    // A dead worker's answers stay in the sum.
    let before = server.workers();
    for &worker in &before {
        send_signal(worker, Signal::SIGKILL);
    }
    server.wait_replaced(&before);
    assert_eq!(server.get("/health").status, 200);
    wait_counts(&server, 0, 0, 3);
    let mut then = [0; 3];
    for line in lines(&server) {
        let now = counts(&line);
        assert_eq!(now.map(|(_, more)| more), [0, 1, 2].map(|i| now[i].0 - then[i]), "{line}");
        then = now.map(|(count, _)| count);
    }
}

#[test]
fn an_idle_servers_log_stays_quiet() {
    let server = Server::start(&["--workers", "2", "--mem-interval", "100ms"]);
    assert_eq!(server.get("/bin/1M").status, 200);
    wait_counts(&server, 0, 0, 1);
    // The last change may show only in a later sample; after that, samples log nothing.
    eventually("ten samples without a line", || {
        let (begin, said) = (sleeps(&server), lines(&server));
        eventually("ten samples", || (sleeps(&server) >= begin + 10).then_some(()));
        (lines(&server) == said).then_some(())
    });
}

#[test]
fn zero_is_off_and_the_master_sleeps_on() {
    let server = Server::start(&["--workers", "2", "--mem-interval", "0"]);
    let unseen = Server::start_with(&["--workers", "2", "--mem-interval", "100ms"], &[("TINE_LOG", "warn")]);
    let sampled = Server::start(&["--workers", "2", "--mem-interval", "100ms"]);
    let begin = [&server, &unseen, &sampled].map(sleeps);
    for server in [&server, &unseen] {
        assert_eq!(server.get("/health").status, 200);
    }
    eventually("the third server samples ten times", || (sleeps(&sampled) >= begin[2] + 10).then_some(()));
    for (server, begin) in [(&server, begin[0]), (&unseen, begin[1])] {
        assert!(sleeps(server) < begin + 5, "nothing wakes the master");
        assert_eq!(lines(server), Vec::<String>::new());
    }
}
