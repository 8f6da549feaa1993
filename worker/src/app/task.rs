//! The application's own work, of no request: timers, what is left to do after a response, connections that it keeps.

use super::Cx;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

/// Work of the application's own, which belongs to no request. As an [`Exchange`](super::Exchange) it is called by the worker and must
/// not block; it waits by what it returns, and is woken by a [`Waker`](super::Waker) or a [`Watch`](super::Watch).
///
/// ```
/// # extern crate tine_worker as tine;
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use std::time::{Duration, Instant};
/// use tine::app::{Answer, App, AppError, Cx, Rest, Task};
/// use tine::http::{Request, Response, StatusCode};
/// use tine::testing::Client;
///
/// /// Counts, once a second.
/// struct Ticks {
///     next: Instant,
///     count: Rc<Cell<u64>>,
/// }
///
/// impl Task for Ticks {
///     fn run(&mut self, cx: &Cx<'_>) -> Rest {
///         while self.next <= cx.now() {
///             self.next += Duration::from_secs(1);
///             self.count.set(self.count.get() + 1);
///         }
///         Rest::NotBefore(self.next)
///     }
///
///     fn holds_exit(&self) -> bool {
///         false // nothing is lost if the worker exits
///     }
/// }
///
/// struct Clock(Rc<Cell<u64>>);
///
/// impl App for Clock {
///     fn start(&mut self, cx: &Cx<'_>) -> Result<(), AppError> {
///         let (next, count) = (cx.now() + Duration::from_secs(1), Rc::clone(&self.0));
///         cx.background().spawn(Ticks { next, count });
///         Ok(())
///     }
///
///     fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
///         Response::text(StatusCode::OK, self.0.get().to_string()).into()
///     }
/// }
///
/// let mut client = Client::new(Clock(Rc::default()));
/// client.pass(Duration::from_secs(10));
/// assert_eq!(client.get("/").text(), "10");
/// ```
pub trait Task {
    /// Does a part of the work, and says when it is to be called again. Called for the first time in the turn in which the task is
    /// spawned, or in the next; also when the worker begins to drain ([`Cx::is_draining`]), and at times without a reason.
    ///
    /// In each turn of the worker its tasks have as much time as one connection; those that are left over are called in the
    /// next.
    fn run(&mut self, cx: &Cx<'_>) -> Rest;

    /// Whether a worker that leaves waits for its end, for at most `--graceful-timeout`. Otherwise it is dropped once the last
    /// connection is closed.
    fn holds_exit(&self) -> bool {
        true
    }
}

/// What a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Call again at this time, or earlier when it is woken. A time that has come: in the next turn, after the connections'.
    NotBefore(Instant),
    /// What it waits for wakes it.
    Wait,
    /// It is done, and is dropped.
    End,
}

/// Where an application spawns tasks, from [`Cx::background`]. It stays in its worker, and may be kept. The number of tasks is
/// the application's to bound.
#[derive(Clone, Default)]
pub struct Background(Rc<RefCell<Vec<Box<dyn Task>>>>);

impl Background {
    /// Returns at once; the task is called in this turn or the next.
    pub fn spawn(&self, task: impl Task + 'static) {
        self.0.borrow_mut().push(Box::new(task));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Those that were spawned since the last call.
    pub(crate) fn take(&self) -> Vec<Box<dyn Task>> {
        self.0.take()
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Background")
    }
}
