use super::*;
use std::path::PathBuf;

/// The manager's end, with the name under which it is found.
fn manager(name: &str) -> (UnixDatagram, OsString) {
    let name = format!("tine-notify-{}-{name}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("an abstract name");
    let socket = UnixDatagram::bind_addr(&address).expect("a socket");
    socket.set_nonblocking(true).expect("nonblocking");
    (socket, format!("@{name}").into())
}

/// What has come, a message each.
fn heard(manager: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 4096];
    let mut all = Vec::new();
    while let Ok(count) = manager.recv(&mut bytes) {
        all.push(String::from_utf8(bytes[..count].to_vec()).expect("UTF-8"));
    }
    all
}

#[test]
fn each_state_is_a_message() {
    let (socket, name) = manager("states");
    let now = Instant::now();
    let mut notifier = Notifier::new(Some(name), None, now);
    assert_eq!(notifier.due(), None, "no watchdog, nothing to say");
    notifier.ready("2 workers", now);
    assert_eq!(heard(&socket), ["READY=1\nSTATUS=2 workers\n"]);
    notifier.reloading(now);
    let said = heard(&socket);
    let time =
        said[0].strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.trim_end().parse::<u64>().ok());
    assert!(said.len() == 1 && time.is_some_and(|time| time > 0), "{said:?}");
    notifier.main_pid(42, now);
    notifier.stopping("draining\n3 connections", now);
    assert_eq!(heard(&socket), ["MAINPID=42\n", "STOPPING=1\nSTATUS=draining 3 connections\n"]);
}

#[test]
fn a_path_is_a_name_as_well() {
    let path = std::env::temp_dir().join(format!("tine-notify-{}", std::process::id()));
    let bind = |path: &PathBuf| {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_nonblocking(true).expect("nonblocking");
        socket
    };
    let first = bind(&path);
    let now = Instant::now();
    let mut notifier = Notifier::new(Some(path.clone().into_os_string()), None, now);
    notifier.ready("a", now);
    assert_eq!(heard(&first), ["READY=1\nSTATUS=a\n"]);
    // A manager that starts anew has a new socket there.
    drop(first);
    std::fs::remove_file(&path).expect("the first one's file");
    let second = bind(&path);
    notifier.main_pid(1, now);
    assert_eq!(heard(&second), ["MAINPID=1\n"]);
    std::fs::remove_file(&path).expect("the second one's file");
}

#[test]
fn status_is_said_when_it_changes_and_once_a_second() {
    let (socket, name) = manager("status");
    let now = Instant::now();
    let mut notifier = Notifier::new(Some(name), None, now);
    let after = |ms| now + Duration::from_millis(ms);
    for (text, ms, expected) in [
        ("a", 0, &["STATUS=a\n"][..]),
        ("a", 10, &[]),
        ("b", 20, &[]), // held back
        ("c", 999, &[]),
        ("c", 1000, &["STATUS=c\n"]), // the newest
        ("c", 5000, &[]),
        ("d", 5001, &["STATUS=d\n"]),
        ("e", 5002, &[]),
        ("d", 5003, &[]), // as was said
    ] {
        notifier.status(text, after(ms));
        assert_eq!(heard(&socket), expected, "{text} after {ms} ms");
    }
    assert_eq!(notifier.due(), None, "nothing is held back");
    notifier.status("f", after(5500));
    assert_eq!(notifier.due(), Some(after(6001)));
    notifier.send_due(after(6000));
    assert_eq!(heard(&socket), [""; 0]);
    notifier.send_due(after(6001));
    assert_eq!(heard(&socket), ["STATUS=f\n"]);
}

#[test]
fn the_watchdog_is_told_twice_in_its_time() {
    let (socket, name) = manager("watchdog");
    let now = Instant::now();
    let mut notifier = Notifier::new(Some(name.clone()), Some("10000000".into()), now);
    for (seconds, expected) in [(0, 1), (1, 0), (4, 0), (5, 1), (6, 0), (60, 1), (61, 0)] {
        notifier.send_due(now + Duration::from_secs(seconds));
        assert_eq!(heard(&socket), vec!["WATCHDOG=1\n"; expected], "after {seconds} s");
    }
    assert_eq!(notifier.due(), Some(now + Duration::from_secs(65)));
    let environment = notifier.environment();
    assert_eq!(environment[0], (NOTIFY_SOCKET, Some(name)));
    assert_eq!(environment[1], (WATCHDOG_USEC, Some("10000000".into())));
    assert_eq!(environment[2], (WATCHDOG_PID, None));
    for usec in ["0", "", "soon", "-1"] {
        let (_socket, name) = manager(usec);
        assert_eq!(Notifier::new(Some(name), Some(usec.into()), now).due(), None, "{usec:?} is not a watchdog timeout");
    }
}

#[test]
fn a_manager_that_does_not_listen_stops_nobody() {
    let (socket, name) = manager("full");
    let now = Instant::now();
    let mut notifier = Notifier::new(Some(name), None, now);
    // More than its queue takes (net.unix.max_dgram_qlen), and more than waits here.
    let many = 2000;
    for pid in 0..many {
        notifier.main_pid(pid, now);
    }
    assert_eq!(notifier.due(), Some(now + RETRY));
    let mut said = heard(&socket);
    let first = said.len();
    while let Some(due) = notifier.due() {
        notifier.send_due(due);
        said.extend(heard(&socket));
    }
    // Those that it took at once, and those that were kept.
    let kept = many as usize - UNSENT_MAX..many as usize;
    let expected: Vec<String> = (0..first).chain(kept).map(|pid| format!("MAINPID={pid}\n")).collect();
    assert_eq!(said, expected);
}

#[test]
fn without_a_manager_nothing_is_done() {
    let now = Instant::now();
    for name in [None, Some(""), Some("@tine-nobody-listens-here"), Some("vsock:2:1234"), Some("/no/such/socket")] {
        let mut notifier = Notifier::new(name.map(OsString::from), None, now);
        notifier.ready("a", now);
        notifier.status("b", now);
        notifier.send_due(now + Duration::from_secs(2));
        assert_eq!(notifier.due(), None, "{name:?}");
    }
    let mut notifier = Notifier::new(None, Some("1000".into()), now);
    notifier.send_due(now);
    assert_eq!(notifier.due(), None, "a watchdog needs one to be told");
    assert!(notifier.environment().iter().all(|(_, value)| value.is_none()));
}
