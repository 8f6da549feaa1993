//! `ps` tells the master from its workers, and which worker is which, in the short name and in the command line; after
//! that come the server's own arguments, which tell it from other servers.

use crate::support::{Server, eventually};
use std::fs;

fn names(pid: i32) -> (String, String) {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let command_line = read("cmdline").trim_end_matches('\0').to_string();
    (read("comm").trim().to_string(), command_line)
}

#[test]
fn processes_are_named_in_ps() {
    let server = Server::start(&["--workers", "12"]);
    let twice = |name: String| (name.clone(), format!("{name} run 0 --workers 12"));
    assert_eq!(names(server.pid()), twice("tine: master".to_string()));
    let workers = server.workers();
    for index in 0..12 {
        let expected = twice(format!("tine: worker {index}"));
        assert_eq!(workers.iter().filter(|&&pid| names(pid) == expected).count(), 1, "{expected:?}");
    }
    // Its successor takes over the name.
    let victim = workers.iter().copied().find(|&pid| names(pid).0 == "tine: worker 11").expect("just seen");
    crate::support::send_signal(victim, nix::sys::signal::Signal::SIGKILL);
    let new = server.wait_replaced(&workers);
    eventually("the successor has the name", || (names(new) == twice("tine: worker 11".to_string())).then_some(()));
}

/// The title takes the place of the environment, which is moved for it.
#[test]
fn the_environment_is_unchanged() {
    let folder = crate::support::scratch_folder();
    let app = folder.join("app.lua");
    let text = "return function(e, s) s('200 OK', {}) return { os.getenv('GREETING') or 'none', os.getenv('PATH') and '' } end";
    fs::write(&app, text).expect("an app");
    let options = [app.to_str().expect("UTF-8"), "--workers", "1"];
    let server = Server::start_with(&options, &[("GREETING", "hello")]);
    assert!(names(server.pid()).1.ends_with(" --workers 1"), "{:?}", names(server.pid()));
    assert_eq!(server.get("/").text(), "hello");
    // This also covers what a new binary is started with.
    let upgrade = server.ctl(&["upgrade"]);
    assert!(upgrade.status.success(), "{}", server.log());
    eventually("the new master serves alone", || (server.get("/").text() == "hello").then_some(()));
    let titled = eventually("the new master", || {
        let text = fs::read_to_string(server.folder().join("log")).expect("a log");
        let pid = text.lines().rev().find(|line| line.contains("] serving "))?;
        pid.split(['[', ']']).nth(1)?.parse::<i32>().ok().filter(|&pid| pid != server.pid())
    });
    assert!(names(titled).1.starts_with("tine: master run ") && names(titled).1.ends_with(" --workers 1"));
    crate::support::send_signal(titled, nix::sys::signal::Signal::SIGTERM);
    server.wait_gone(&[titled]);
}
