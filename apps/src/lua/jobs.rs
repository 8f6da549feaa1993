//! Jobs: functions of the app that run outside of any request, by `tine.after`, `tine.every`, `tine.finish` and `tine.on_stop`.
//!
//! Each is a task of the worker ([`job`]), and a place in this table as long as it may run again. The functions themselves are
//! in the driver (driver/jobs.lua), by the numbers of their jobs. While the app loads, jobs are only kept: they begin in a
//! worker that serves, and so not in the preflight.
//!
//! [`office`] is `tine.is_elected`.

mod job;
mod office;

use super::config::LuaConfig;
use super::sys::calls::Boundary;
use super::vm::Vm;
use job::{Job, Kind};
use mlua::{IntoLuaMulti, Lua, String, Table, Value};
use office::Office;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};
use tine_worker::app::{Background, Cx, Waker, WorkerInfo};

/// Jobs of a worker that run or are to run.
const JOBS_MAX: usize = 10_000;
/// Those that run at the same time; others wait for one of them to end.
const RUNNING_MAX: usize = 1000;
/// Longer times are cut to a year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// The jobs of a worker. Clones share them.
#[derive(Clone)]
pub struct Jobs(Rc<Hub>);

struct Hub {
    vm: OnceCell<Weak<Vm>>,
    request_timeout: Option<Duration>,
    /// Empty while the app loads.
    background: OnceCell<Background>,
    /// What was asked for before.
    early: RefCell<Vec<Job>>,
    /// For the end of the worker.
    last: RefCell<Vec<Job>>,
    /// For the end of a request, by the number of its coroutine.
    finishing: RefCell<HashMap<i64, Vec<Job>>>,
    /// Whether there is any, which each request asks.
    has_finishing: Cell<bool>,
    live: RefCell<HashMap<i64, Rc<Life>>>,
    /// The number of the last job.
    number: Cell<i64>,
    running: Cell<usize>,
    /// Jobs that are due and wait for one that runs to end.
    queue: RefCell<VecDeque<Rc<Life>>>,
    /// The job whose function is being run.
    current: RefCell<Option<Rc<Life>>>,
    office: Office,
}

/// What others know of a job.
#[derive(Default)]
struct Life {
    /// It runs again and again.
    is_periodic: bool,
    is_cancelled: Cell<bool>,
    is_running: Cell<bool>,
    is_queued: Cell<bool>,
    /// Its function was told that this worker is the elected one, which it stays until that has ended.
    holds_office: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Jobs {
    pub fn new(config: &LuaConfig, worker: &WorkerInfo) -> Jobs {
        Jobs(Rc::new(Hub {
            vm: OnceCell::new(),
            request_timeout: config.request_timeout,
            background: OnceCell::new(),
            early: RefCell::default(),
            last: RefCell::default(),
            finishing: RefCell::default(),
            has_finishing: Cell::new(false),
            live: RefCell::default(),
            number: Cell::new(0),
            running: Cell::new(0),
            queue: RefCell::default(),
            current: RefCell::default(),
            office: Office::new(worker.election),
        }))
    }

    /// `host.jobs`. The driver adds `open`, which Rust calls to begin one.
    pub fn functions(&self, lua: &Lua, boundary: &'static Boundary) -> mlua::Result<Table> {
        let functions = lua.create_table()?;
        let jobs = self.clone();
        // Returns the job's number, or nil and why there cannot be another one.
        let add = move |lua: &Lua, (kind, seconds, place): (String, f64, String)| {
            let (kind, place) = (kind.to_string_lossy(), place.to_string_lossy());
            let kind = kind_of(&kind, seconds).ok_or_else(|| mlua::Error::runtime("there is no such kind of job"))?;
            match jobs.add(kind, &place, boundary.running_number()) {
                Ok(number) => number.into_lua_multi(lua),
                Err(why) => {
                    log::warn!("{kind} at {place}: {why}");
                    (Value::Nil, why).into_lua_multi(lua)
                }
            }
        };
        functions.set("add", lua.create_function(add)?)?;
        let jobs = self.clone();
        functions.set("cancel", lua.create_function(move |_, number: i64| Ok(jobs.cancel(number)))?)?;
        let jobs = self.clone();
        functions.set("is_elected", lua.create_function(move |_, ()| Ok(jobs.is_elected()))?)?;
        Ok(functions)
    }

    /// The VM, in which the app is loaded.
    pub fn set_vm(&self, vm: &Rc<Vm>) {
        let is_first = self.0.vm.set(Rc::downgrade(vm)).is_ok();
        debug_assert!(is_first, "an app has one VM");
    }

    /// The worker is about to serve: from now on jobs run.
    pub fn start(&self, cx: &Cx<'_>) {
        let background = self.0.background.get_or_init(|| cx.background());
        self.0.early.take().into_iter().for_each(|job| background.spawn(job));
        self.0.office.open(background);
    }

    /// The worker ends: runs what was left for that.
    pub fn stop(&self) {
        self.0.last.take().into_iter().for_each(|job| self.spawn(job));
    }

    /// A request is over for its client.
    #[inline]
    pub fn finish(&self, coroutine: i64) {
        if self.0.has_finishing.get() {
            self.finish_any(coroutine);
        }
    }

    #[cold]
    fn finish_any(&self, coroutine: i64) {
        let jobs = self.0.finishing.borrow_mut().remove(&coroutine);
        self.0.has_finishing.set(!self.0.finishing.borrow().is_empty());
        jobs.into_iter().flatten().for_each(|job| self.spawn(job));
    }

    fn spawn(&self, job: Job) {
        match self.0.background.get() {
            Some(background) => background.spawn(job),
            None => self.0.early.borrow_mut().push(job),
        }
    }

    /// `coroutine`: the number of the one that asks for it, if that is a request's.
    fn add(&self, kind: Kind, place: &str, coroutine: Option<i64>) -> Result<i64, std::string::String> {
        let hub = &self.0;
        if hub.live.borrow().len() >= JOBS_MAX {
            return Err(format!("this worker has {JOBS_MAX} functions that are to run already"));
        }
        let number = hub.number.get() + 1;
        hub.number.set(number);
        let life = Rc::new(Life { is_periodic: matches!(kind, Kind::Every(_)), ..Life::default() });
        hub.live.borrow_mut().insert(number, Rc::clone(&life));
        let job = Job::new(self.clone(), number, kind, place, life);
        match (kind, coroutine) {
            (Kind::Stop, _) => hub.last.borrow_mut().push(job),
            (Kind::Finish, Some(coroutine)) => {
                hub.has_finishing.set(true);
                hub.finishing.borrow_mut().entry(coroutine).or_default().push(job);
            }
            _ => self.spawn(job),
        }
        Ok(number)
    }

    /// Whether it would have run once more.
    fn cancel(&self, number: i64) -> bool {
        let life = self.0.live.borrow().get(&number).cloned();
        let Some(life) = life.filter(|life| life.is_periodic || !life.is_running.get()) else { return false };
        let is_in_time = !life.is_cancelled.replace(true);
        if !life.is_running.get() {
            // Its place is free at once, also if its time is a year from now.
            self.0.live.borrow_mut().remove(&number);
        }
        life.waker.borrow().iter().for_each(Waker::wake);
        is_in_time
    }

    fn is_elected(&self) -> bool {
        self.0.office.is_held(self.0.background.get(), self.0.current.borrow().as_deref())
    }

    fn vm(&self) -> Option<Rc<Vm>> {
        self.0.vm.get().and_then(Weak::upgrade)
    }

    /// When a function that is resumed now is interrupted, unless it waits before.
    fn deadline(&self) -> Option<Instant> {
        self.0.request_timeout.map(|timeout| Instant::now() + timeout)
    }

    /// Whether one more may run; if not, this one is woken once that has changed.
    fn try_enter(&self, life: &Rc<Life>) -> bool {
        let running = self.0.running.get();
        if running >= RUNNING_MAX {
            log::warn!("{RUNNING_MAX} functions run beside the requests of this worker; others wait for their end");
            if !life.is_queued.replace(true) {
                self.0.queue.borrow_mut().push_back(Rc::clone(life));
            }
            return false;
        }
        self.0.running.set(running + 1);
        life.is_running.set(true);
        true
    }

    fn leave(&self, life: &Life) {
        life.is_running.set(false);
        self.0.running.set(self.0.running.get() - 1);
        self.0.office.leave(life);
        let mut queue = self.0.queue.borrow_mut();
        while let Some(next) = queue.pop_front() {
            next.is_queued.set(false);
            if !next.is_cancelled.get() {
                return next.waker.borrow().iter().for_each(Waker::wake);
            }
        }
    }

    /// Calls `f`, in which the job's function runs.
    fn within<T>(&self, life: &Rc<Life>, f: impl FnOnce() -> T) -> T {
        self.0.current.replace(Some(Rc::clone(life)));
        let result = f();
        self.0.current.take();
        result
    }

    fn forget(&self, number: i64, life: &Life) {
        life.is_cancelled.set(true);
        self.0.live.borrow_mut().remove(&number);
    }
}

fn kind_of(kind: &str, seconds: f64) -> Option<Kind> {
    let time = Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX));
    match kind {
        "after" => Some(Kind::After(time)),
        "every" => Some(Kind::Every(time)),
        "finish" => Some(Kind::Finish),
        "on_stop" => Some(Kind::Stop),
        _ => None,
    }
}
