//! The applications in Rust that the tests serve, as separate processes: examples, one that counts, one that fails on demand, one that
//! waits for descriptors, one with tasks of its own, and a server beside a thread. They are part of this program, which runs as one of them if [`NAME`]
//! asks for it; an example's own binary may be older than the server under test, since `cargo test --test it` does not
//! build it.
#![allow(dead_code)] // each test program uses a part of it

mod counting;
mod faults;
#[path = "../../../examples/files_beside_app.rs"]
mod files_beside_app;
#[path = "../../../examples/gateway.rs"]
mod gateway;
#[path = "../../../examples/own_app.rs"]
mod own_app;
#[path = "../../../../master/examples/own_grpc.rs"]
mod own_grpc;
#[path = "../../../../master/examples/own_server.rs"]
mod own_server;
pub mod sharing_servers;
mod tasks;
mod threaded_server;
mod turnstile;
pub mod turnstile_server;
mod watches;

use crate::support::{Client, Server, eventually, listening};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The environment variable with the name of the application to run as.
const NAME: &str = "TEST_APP";

type Main = fn() -> ExitCode;

const APPS: [(&str, Main); 11] = [
    ("counting", counting::main),
    ("faults", faults::main),
    ("files_beside_app", files_beside_app::main),
    ("gateway", gateway::main),
    ("own_app", own_app::main),
    ("own_grpc", own_grpc::main),
    ("own_server", own_server::main),
    ("tasks", tasks::main),
    ("threaded_server", threaded_server::main),
    ("turnstile", turnstile::main),
    ("watches", watches::main),
];

/// Runs before the test harness, which would start threads: a master must be the only thread.
extern "C" fn run_app() {
    let Some(name) = std::env::var_os(NAME) else { return };
    let (_, main) = APPS.into_iter().find(|(known, _)| name == *known).expect("an application of the tests");
    // As Rust's runtime does it.
    let status = std::panic::catch_unwind(main).unwrap_or(ExitCode::from(101));
    std::process::exit((0..=u8::MAX).find(|&number| ExitCode::from(number) == status).map_or(-1, i32::from))
}

// SAFETY: the loader calls the functions in this section before `main`, while there is one thread; std's arguments and
// environment are set by then.
#[used]
#[unsafe(link_section = ".init_array")]
static RUN_APP: extern "C" fn() = run_app;

/// A command that runs this application.
pub fn app(name: &str) -> Command {
    assert!(APPS.iter().any(|(known, _)| *known == name), "no application {name}");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg0(name).env(NAME, name);
    command
}

/// Serves it, once all its workers are ready.
pub fn serve(name: &str, options: &[&str]) -> Server {
    serve_with(name, options, &[])
}

/// The same with these variables in its environment.
pub fn serve_with(name: &str, options: &[&str], environment: &[(&str, &str)]) -> Server {
    let mut command = app(name);
    command.arg("run").args(listening()).args(options).envs(environment.iter().copied());
    Server::start_command(&mut command)
}

/// The same for a shell: words that follow `env`.
pub fn words(name: &str) -> String {
    format!("{NAME}={name} {}", std::env::current_exe().expect("this program").display())
}

/// [`serve`]s `faults`; one worker hangs in a request of this client, and is the process that is returned.
pub fn serve_hung(options: &[&str]) -> (Server, Client, i32) {
    let server = serve("faults", options);
    let mut client = server.connect();
    client.send("GET /hang HTTP/1.1\r\nHost: t\r\n\r\n");
    let hung = eventually("a worker has the request", || server.worker_of(&client));
    (server, client, hung)
}
