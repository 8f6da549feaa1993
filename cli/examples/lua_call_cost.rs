//! The cost of one call of a Lua application, without its sockets: `curl URL/path?calls=1000000` calls the app in
//! `LUA_APP` this many times with this very request and answers with the time of one call, in nanoseconds.
//!
//!     LUA_APP=examples/hello.lua cargo run --release --example lua_call_cost -- run 8080 --workers 1

use std::process::ExitCode;
use std::time::{Duration, Instant};
use tine::app::{Answer, App, AppError, Cx};
use tine::http::{Request, Response, StatusCode};
use tine_apps::lua::{LuaApp, LuaConfig};

struct Counted(LuaApp);

impl App for Counted {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        let Some(calls) = request.query_value("calls").and_then(|calls| calls.parse::<u32>().ok()).filter(|&n| n > 0)
        else {
            return self.0.call(request, cx);
        };
        let mut exchanges = 0;
        let mut time = |calls: u32| {
            let began = Instant::now();
            for _ in 0..calls {
                exchanges += u32::from(!matches!(self.0.call(request, cx), Answer::Response(_)));
            }
            began.elapsed()
        };
        time(calls / 10);
        // The least of five: interference on a shared machine does not count.
        let best: Duration = (0..5).map(|_| time(calls / 5)).min().unwrap_or_default();
        let nanoseconds = best.as_nanos() as f64 / f64::from((calls / 5).max(1));
        let text = format!("{nanoseconds:.0} ns a call; {exchanges} of the calls did not end at once\n");
        Response::text(StatusCode::OK, text).into()
    }
}

fn main() -> ExitCode {
    let name = std::env::var("LUA_APP").unwrap_or_default();
    tine_cli::serve("a Lua app, called many times", move |worker| {
        let config = LuaConfig {
            app: name.parse().map_err(AppError::new)?,
            app_dirs: Vec::new(),
            sendfile_roots: Vec::new(),
            request_timeout: None,
            memory_bytes_max: None,
            body_bytes_max: 10 << 20,
            debug: false,
            reloads: false,
        };
        Ok(Box::new(Counted(LuaApp::load(&config, worker)?)))
    })
}
