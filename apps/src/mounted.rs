//! An application that is mounted below a path (`--root-path`): it sees the paths of its requests without it.
//!
//! A request for a path below it is taken for one whose proxy has left it there, any other for one whose proxy has removed it: both are
//! usual. What the application calls itself in links and redirections is its own; [`WorkerInfo::root_path`](tine_worker::app::WorkerInfo)
//! has the path.

use crate::around::around;
use tine_common::config::RootPath;
use tine_worker::app::AppFactory;

/// Wraps an application that is mounted below a path, if there is one.
pub fn at(root: Option<RootPath>, app: AppFactory) -> AppFactory {
    let Some(root) = root else { return app };
    Box::new(move |worker| {
        Ok(around(app(worker)?, move |app, request, cx| match root.length_in(request.path()) {
            Some(length) => app.call(&request.below(length), cx),
            None => app.call(request, cx),
        }))
    })
}
