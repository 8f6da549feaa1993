//! What `tine.publish` and `tine.subscribe` call: messages between the requests of all workers.
//!
//! A request that waits for a message is suspended; its exchange is woken. A worker watches one descriptor for all of them, from the
//! first that waits: with each message that any worker has published, those are woken whose channel's counter has changed.

use super::host::Turn;
use mlua::{Function, Lua, String, UserData, UserDataMethods, Value};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_worker::app::shared::{Cursor, Messages};
use tine_worker::app::{Cx, Interest, Waker, Watch};

/// Longer waits are cut to a year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// The requests of a worker that wait for messages.
struct Hub {
    messages: Messages,
    watch: RefCell<Option<Watch>>,
    waiting: Rc<RefCell<BTreeMap<u64, Waiting>>>,
    last: Cell<u64>,
}

struct Waiting {
    cursor: Cursor,
    waker: Waker,
}

pub struct Subscription {
    hub: Rc<Hub>,
    cursor: RefCell<Cursor>,
    /// A message that was read, and how many were lost before it.
    fetched: RefCell<Option<(Vec<u8>, u64)>>,
}

/// What a coroutine is about to wait for.
pub struct Wait {
    subscription: Rc<Subscription>,
    timeout: Option<Duration>,
}

/// An exchange that waits, until this is dropped.
pub struct Awaited {
    subscription: Rc<Subscription>,
    place: u64,
    pub until: Option<Instant>,
}

/// `publish(channel, message)` returns true, or nil and the error.
pub fn publish(lua: &Lua, messages: Messages) -> mlua::Result<Function> {
    lua.create_function(move |_, (channel, message): (String, String)| {
        Ok(match messages.publish(&channel.as_bytes(), &message.as_bytes()) {
            Ok(()) => (Some(true), None),
            Err(why) => (None, Some(why.to_string())),
        })
    })
}

/// `subscribe(channel)` returns a [`Handle`].
pub fn subscribe(lua: &Lua, messages: Messages, turn: &Rc<Turn>) -> mlua::Result<Function> {
    let (watch, waiting, last) = (RefCell::default(), Rc::default(), Cell::default());
    let hub = Rc::new(Hub { messages, watch, waiting, last });
    let turn = Rc::clone(turn);
    lua.create_function(move |_, channel: String| {
        let cursor = RefCell::new(hub.messages.subscribe(&channel.as_bytes()));
        let subscription = Subscription { hub: Rc::clone(&hub), cursor, fetched: RefCell::default() };
        Ok(Handle { subscription: Rc::new(subscription), turn: Rc::clone(&turn) })
    })
}

struct Handle {
    subscription: Rc<Subscription>,
    turn: Rc<Turn>,
}

impl UserData for Handle {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        // The message and how many were lost before it; nil: there is none yet.
        methods.add_method("next", |lua, this, ()| {
            this.subscription.fetch();
            match this.subscription.fetched.take() {
                Some((bytes, lost)) => {
                    Ok((Value::String(lua.create_string(bytes)?), Value::Integer(lost.try_into().unwrap_or(i64::MAX))))
                }
                None => Ok((Value::Nil, Value::Nil)),
            }
        });
        // The driver yields AWAIT next.
        methods.add_method("prepare", |_, this, seconds: Option<f64>| {
            let timeout = seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX)));
            let subscription = Rc::clone(&this.subscription);
            this.turn.wait.replace(Some(Wait { subscription, timeout }));
            Ok(())
        });
    }
}

impl Subscription {
    /// Whether there is a message.
    fn fetch(&self) -> bool {
        let mut fetched = self.fetched.borrow_mut();
        if fetched.is_none() {
            let mut bytes = Vec::new();
            let lost = self.hub.messages.next(&mut self.cursor.borrow_mut(), &mut bytes);
            *fetched = lost.map(|lost| (bytes, lost));
        }
        fetched.is_some()
    }
}

impl Wait {
    /// From now on the exchange is woken when there may be a message.
    pub fn begin(self, cx: &Cx<'_>) -> io::Result<Awaited> {
        let Wait { subscription, timeout } = self;
        let hub = &subscription.hub;
        hub.watch(cx)?;
        let place = hub.last.get() + 1;
        hub.last.set(place);
        let cursor = subscription.cursor.borrow().clone();
        hub.waiting.borrow_mut().insert(place, Waiting { cursor, waker: cx.waker() });
        Ok(Awaited { place, until: timeout.map(|timeout| cx.now() + timeout), subscription })
    }
}

impl Hub {
    fn watch(&self, cx: &Cx<'_>) -> io::Result<()> {
        let mut watch = self.watch.borrow_mut();
        if let (None, Some(descriptor)) = (&*watch, self.messages.descriptor()) {
            let (messages, waiting) = (self.messages, Rc::clone(&self.waiting));
            let wake = move || {
                let waiting = waiting.borrow();
                let concerned = waiting.values().filter(|one| messages.has_news(&one.cursor));
                concerned.for_each(|one| one.waker.wake());
            };
            *watch = Some(cx.watch_for_all(&descriptor, Interest::Read, Rc::new(wake))?);
        }
        Ok(())
    }
}

impl Awaited {
    /// There is a message, or the time is over, or the worker drains: the wait is over.
    pub fn is_over(&self, cx: &Cx<'_>) -> bool {
        self.subscription.fetch() || cx.is_draining() || self.until.is_some_and(|until| cx.now() >= until)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.subscription.hub.waiting.borrow_mut().remove(&self.place);
    }
}
