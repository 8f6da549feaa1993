//! A program that uses the library alone (the example `own_server`) has the same master and workers, its mistakes are
//! values with a plain text, and what it depends on is small.

use crate::apps;
use crate::support::{Server, eventually, within_patience};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Command, Output};

fn start() -> Server {
    Server::start_command(apps::app("own_server").arg("0"))
}

#[test]
fn it_serves_reloads_and_stops() {
    let mut server = start();
    let before = server.workers();
    assert_eq!(before.len(), 2);
    let text = server.get("/hello").text();
    assert!(["worker 0 answers GET /hello\n", "worker 1 answers GET /hello\n"].contains(&text.as_str()), "{text}");
    assert_eq!(server.get("/up").text(), "{\"status\":\"ok\"}", "the server answers health checks");
    assert!(server.stdout().contains("serves an own server with 2 workers on"), "{}", server.stdout());

    server.signal(Signal::SIGHUP);
    eventually("both workers are replaced", || {
        let now = server.workers();
        (now.len() == 2 && now.iter().all(|pid| !before.contains(pid))).then_some(())
    });
    assert_eq!(server.get("/").status, 200);
    assert!(server.stop(Signal::SIGTERM).success());
}

#[test]
fn tine_ctl_finds_it() {
    let server = start();
    let status = server.ctl(&["status"]);
    let text = String::from_utf8_lossy(&status.stdout);
    assert!(status.status.success() && text.contains("an own server"), "{text}");
}

#[track_caller]
fn fails_with(command: &mut Command, words: &[&str]) {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&stderr);
    assert_eq!((status.code(), stdout.len(), text.lines().count()), (Some(1), 0, 1), "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

#[test]
fn a_mistake_is_a_value() {
    fails_with(apps::app("own_server").arg("http"), &["own_server: \"127.0.0.1:http\" is not an address", "*:80"]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    fails_with(apps::app("own_server").arg(&port), &["own_server: ", &port, "another program listens there"]);
}

#[test]
fn a_second_thread_is_refused() {
    fails_with(&mut apps::app("threaded_server"), &["this process has 2 threads", "start the server before"]);
}

/// The names of all packages that are built for this one.
fn tree(package: &str, options: &[&str]) -> BTreeSet<String> {
    let mut cargo = within_patience(env!("CARGO"));
    cargo
        .args(["tree", "--offline", "--locked", "-p", package, "-e", "normal,build", "--prefix", "none"])
        .args(options);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().filter_map(|line| Some(line.split(' ').next()?.to_string())).collect()
}

#[test]
fn one_cryptography_is_built_and_can_be_chosen() {
    let all = ["aws-lc-sys", "ring"];
    let of = |package, options: &[&str]| {
        let tree = tree(package, options);
        all.into_iter().filter(|name| tree.contains(*name)).collect::<Vec<_>>()
    };
    for package in ["tine", "tine-cli"] {
        assert_eq!(of(package, &[]), ["aws-lc-sys"], "{package}");
    }
    let chosen = |features| ["--no-default-features", "--features", features];
    assert_eq!(of("tine", &chosen("ring")), ["ring"]);
    assert_eq!(of("tine-cli", &chosen("lua54,ring")), ["ring"]);
    assert_eq!(of("tine-cli", &chosen("luajit,ring")), ["ring"]);
}

#[test]
fn it_depends_on_no_command_line_and_no_lua() {
    let large = ["brotli", "clap", "mlua", "ratatui", "toml", "unicode-width", "zstd"];
    let (library, program) = (tree("tine", &[]), tree("tine-cli", &[]));
    let of = |tree: &BTreeSet<String>| large.into_iter().filter(|name| tree.contains(*name)).collect::<Vec<_>>();
    assert_eq!((of(&library), of(&program)), (Vec::new(), large.to_vec()));
    assert!(library.contains("tine-worker"));
}
