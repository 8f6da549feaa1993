//! `scripts/profile` counts the stacks of a running worker, with the names of our functions and the kernel's. The tool
//! that draws them is not built for this test: that takes minutes.

use crate::support::{Server, scratch_folder};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts");

fn profile(arguments: &[&str], temporary: &Path) -> Output {
    let mut command = Command::new(Path::new(SCRIPTS).join("profile"));
    command.args(arguments).env("TMPDIR", temporary).stdin(Stdio::null());
    command.output().expect("scripts/profile runs")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Reports it even if the test's output is not shown: the claim was not tested.
fn skip(why: &str) {
    // Standard error may be closed.
    let _ = writeln!(std::io::stderr(), "SKIPPED, not tested: a profile names our functions: {why}");
}

fn runs(command: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(command);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn the_stacks_of_the_busiest_worker_name_our_functions() {
    if !runs("python3", &["--version"]) {
        return skip("python3 is not installed");
    }
    if !runs("perf", &["record", "--no-buildid-cache", "-o", "/dev/null", "--", "true"]) {
        return skip("perf is not installed (Debian: linux-perf) or cannot be used here");
    }
    let server = Server::start(&["--workers", "2"]);
    let workers = server.workers();
    let mut client = server.connect();
    let mut get = || {
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 200);
    };
    get();
    let folder = scratch_folder();
    let stacks = folder.join("stacks.folded");
    let arguments = ["--pid", &server.pid().to_string(), "--seconds", "1", "-o", stacks.to_str().expect("UTF-8")];
    let done = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        let profile = scope.spawn(|| {
            let output = profile(&arguments, server.folder());
            done.store(true, Ordering::Relaxed);
            output
        });
        while !done.load(Ordering::Relaxed) {
            get(); // it goes on serving
        }
        profile.join().expect("the script was waited for")
    });
    let said = errors(&output);
    if said.contains("may not look into the kernel") {
        return skip(&said);
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    let busy = server.worker_of(&client).expect("a worker has the connection");
    let counted = std::fs::read_to_string(&stacks).expect("the stacks");
    let names = ["tine_worker::worker::Worker::run", "tine_worker::connection::Connection::advance", "tcp_sendmsg"];
    assert!(said.contains(&format!("(pid {busy})")), "the busiest worker is profiled: {said}");
    for name in names {
        assert!(counted.contains(name), "{name} is in no stack of {busy}'s; the script said:\n{said}");
    }
    let is_counted = |line: &str| line.rsplit_once(' ').is_some_and(|(_, number)| number.parse::<u32>().is_ok());
    assert!(counted.lines().all(is_counted), "{counted}");
    assert_eq!(server.workers(), workers, "no worker was restarted");
    let left = std::fs::read_dir(server.folder()).expect("a folder").flatten().map(|entry| entry.file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().starts_with("tine-")), "temporary files are left");
    std::fs::remove_dir_all(folder).expect("the folder is removed");
}

#[test]
fn of_several_masters_one_has_to_be_chosen() {
    if !runs("python3", &["--version"]) {
        return skip("python3 is not installed");
    }
    let servers = [Server::start(&["--workers", "1"]), Server::start(&["--workers", "1"])];
    let pids = servers.each_ref().map(|server| server.pid().to_string());
    let stranger = std::process::id().to_string();
    for (arguments, status, words) in [
        (&["--seconds", "1"][..], 1, &["several masters", "--pid", &pids[0], &pids[1]][..]),
        (&["--pid", &stranger], 1, &[&stranger, "not a master or worker of tine", &pids[0], &pids[1]]),
        (&["--pid", &pids[0], "--worker", "1"], 1, &["no worker 1"]),
        (&["--pid", &pids[0], "-o", "/no/such/folder/x.svg"], 1, &["/no/such/folder/x.svg cannot be written"]),
        (&["--seconds", "0"], 2, &["--seconds", "from 1 to 60"]),
        (&["--pid", "x"], 2, &["--pid"]),
    ] {
        let output = profile(arguments, servers[0].folder());
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {words:?} are not in {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

/// The formats in which perf with binutils' addr2line names functions that are inlined into each other.
#[test]
fn inlined_functions_precede_the_function_that_contains_them() {
    let test = "
import runpy, sys
sys.path.insert(0, sys.argv[1])
profile = runpy.run_path(sys.argv[1] + '/profile')
P, I = '/tine', 'inlined'
plain = [('0', 'tcp_sendmsg', '[kernel.kallsyms]'), ('a', '__send', '/libc'), ('b', 'C::steps', P), ('c', 'W::run', P)]
for full, expected in [
    # The symbol stands in the place of what is inlined deepest, and last without its path.
    ([('a', '__send', '/libc'), ('a', '__libc_send', I), ('b', 'C::steps', P), ('b', 'send', I), ('b', 'flush', I),
      ('b', 'steps', I), ('c', 'W::run', P), ('c', 'run', I)], ['send', 'flush']),
    # All are there, the symbol last, with its path or without.
    ([('a', '__send', '/libc'), ('b', 'send', I), ('b', 'flush', I), ('b', 'C::steps', P), ('c', 'W::run', P)],
     ['send', 'flush']),
    ([('a', '__send', '/libc'), ('b', 'send', I), ('b', 'flush', I), ('b', 'steps', I), ('c', 'W::run', P)],
     ['send', 'flush']),
    # Both, and nothing.
    ([('a', '__send', '/libc'), ('b', 'C::steps', P), ('b', 'flush', I), ('b', 'C::steps', P), ('c', 'W::run', P)],
     ['flush']),
    ([], []),
]:
    said = profile['with_inlined'](plain, [('0', 'tcp_sendmsg', '[kernel.kallsyms]')] + full)
    wanted = [('tcp_sendmsg', '[kernel.kallsyms]'), ('__send', '/libc'), *((name, I) for name in expected),
              ('C::steps', P), ('W::run', P)]
    assert said == wanted, f'{said} is not {wanted}'
loop = ('tine_worker::worker::run', P)
folded, whole = profile['fold']([[('x;y', P), ('z', I), loop, ('main', P)], [('k', '[tcp]'), ('[unknown]', '[unknown]')]])
assert (dict(folded), whole) == ({'tine_worker::worker::run;z_[i];x:y': 1, 'k_[k]': 1}, 1), folded
";
    if !runs("python3", &["--version"]) {
        return skip("python3 is not installed");
    }
    let output = Command::new("python3").args(["-c", test, SCRIPTS]).output().expect("python3 runs");
    assert!(output.status.success(), "{}", errors(&output));
}
