//! A server that is started beside another thread, as in an async runtime; it ends with the reason.

use std::process::ExitCode;
use tine::Server;
use tine::app::AppError;

pub fn main() -> ExitCode {
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || ended.recv().is_err());
    let served = Server::builder().bind("127.0.0.1:0").workers(1).serve(|_| Err(AppError::new("never built")));
    drop(end);
    assert!(thread.join().expect("the thread ends"));
    served.unwrap_or_else(|error| {
        eprintln!("threaded_server: {error:?}");
        ExitCode::FAILURE
    })
}
