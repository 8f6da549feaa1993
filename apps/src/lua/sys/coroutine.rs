//! A coroutine that answers one request after another: resumed, and read where it stops, without a handle for each value
//! that crosses the boundary.
//!
//! What it yields stays on its stack until it is resumed. The driver yields the seal first, a number that a C module
//! which yields on its own does not know.

use super::calls::Boundary;
pub use super::current::Body;
use super::current::Current;
use super::running;
use super::stack::Stack;
use mlua::{Lua, Thread, ffi};
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::rc::Rc;

pub struct Coroutine {
    thread: Thread,
    boundary: &'static Boundary,
    current: Rc<Current>,
    marks: Marks,
    /// How many values it has yielded, which are on top of its stack.
    yielded: c_int,
}

/// What the driver's values are recognised by.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    pub seal: i64,
    /// The step function of `ipairs`.
    ipairs_step: *const c_void,
    /// The string "close".
    close: c_int,
}

impl Marks {
    /// `ipairs_step` stays where it is, as the driver refers to it.
    pub fn new(lua: &Lua, seal: i64, ipairs_step: &mlua::Function) -> mlua::Result<Marks> {
        let mut close = 0;
        // SAFETY: the string is on top of the stack, and is popped.
        unsafe { lua.exec_raw::<()>("close", |state| close = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX))? };
        Ok(Marks { seal, ipairs_step: ipairs_step.to_pointer(), close })
    }
}

/// How a coroutine has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The driver has yielded.
    Yielded,
    /// A C module has yielded, somewhere in the app's code.
    Foreign,
    /// It has raised an error, or ended, which the driver's do not.
    Failed,
}

impl Coroutine {
    /// `thread` has not begun, and runs the driver.
    pub fn new(thread: Thread, boundary: &'static Boundary, id: i64, marks: Marks) -> Coroutine {
        Coroutine { thread, boundary, current: Rc::new(Current::new(id)), marks, yielded: 0 }
    }

    pub fn number(&self) -> i64 {
        self.current.id
    }

    /// It works for the same request: environ has its addresses in both.
    pub fn share_environ(&self, other: &Coroutine) {
        self.current.environ.set(other.current.environ.get());
    }

    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Lets it answer a request: method, decoded path, query and head, and its body.
    pub fn begin(&mut self, request: [&[u8]; 4], body: Body<'_>) -> Stopped {
        self.current.begin(request, body);
        let stopped = self.resume();
        self.current.forget();
        stopped
    }

    /// Resumes it with bytes of the request's body.
    pub fn feed(&mut self, bytes: &[u8], is_end: bool) -> Stopped {
        self.current.feed(bytes, is_end);
        let stopped = self.resume();
        self.current.forget();
        stopped
    }

    /// Resumes it without a value.
    pub fn resume(&mut self) -> Stopped {
        self.stack().pop(self.yielded);
        self.go(0)
    }

    /// Resumes it with what it has yielded, apart from the seal.
    pub fn give_back(&mut self) -> Stopped {
        self.stack().remove(-self.yielded);
        self.go(self.yielded - 1)
    }

    fn go(&mut self, arguments: c_int) -> Stopped {
        let running = running::resumed(&self.thread);
        self.boundary.enter(&self.current);
        let mut yielded = 0;
        // SAFETY: the coroutine is alive and does not run; it has not begun, or has yielded. Errors end it.
        let status = unsafe { ffi::lua_resume(self.thread.state(), null_mut(), arguments, &mut yielded) };
        self.boundary.leave();
        drop(running);
        self.yielded = yielded;
        match status {
            ffi::LUA_YIELD if self.integer(0) == Some(self.marks.seal) => Stopped::Yielded,
            ffi::LUA_YIELD => Stopped::Foreign,
            _ => {
                self.yielded = 1;
                Stopped::Failed
            }
        }
    }

    fn stack(&self) -> Stack<'_> {
        // SAFETY: the reference keeps the coroutine alive. It is suspended; Lua leaves room for 20 values to a C
        // function, and coroutine.yield, on top of its stack, has at most 7.
        unsafe { Stack::of(self.thread.state()) }
    }

    /// A yielded value that is a whole number; the seal is the value 0.
    pub fn integer(&self, number: c_int) -> Option<i64> {
        if number >= self.yielded { None } else { self.stack().integer(number - self.yielded) }
    }

    /// Whether a yielded value is anything but nil and false.
    pub fn is_true(&self, number: c_int) -> bool {
        number < self.yielded && self.stack().is_true(number - self.yielded)
    }

    /// The bytes of a yielded string.
    pub fn bytes(&self, number: c_int) -> Option<&[u8]> {
        if number >= self.yielded { None } else { self.stack().bytes(number - self.yielded) }
    }

    /// The last of the yielded values, if it is a string: a chunk of the response.
    pub fn chunk(&self) -> Option<&[u8]> {
        self.bytes(self.yielded - 1)
    }

    /// Whether the app has called start_response.
    pub fn is_started(&self) -> bool {
        self.current.is_started()
    }

    /// Whether what the app returned, four values from the value `first`, is one string: as it is, or as the only
    /// element of a table or of `ipairs` of one, with nothing to close. The string becomes the last yielded value.
    pub fn is_one_string(&mut self, first: c_int) -> bool {
        let stack = self.stack();
        let [step, state, control, closing] = [0, 1, 2, 3].map(|number| first + number - self.yielded);
        let list = match stack.kind(step) {
            ffi::LUA_TSTRING => {
                stack.push_copy(step);
                self.yielded += 1;
                return true;
            }
            ffi::LUA_TFUNCTION
                if stack.pointer(step) == self.marks.ipairs_step && stack.integer(control) == Some(0) =>
            {
                state
            }
            ffi::LUA_TTABLE if stack.kind(state) == ffi::LUA_TNIL && stack.kind(closing) == ffi::LUA_TNIL => step,
            _ => return false,
        };
        if !stack.is_plain_table(list) || stack.length(list) != 1 {
            return false;
        }
        stack.push_referred(self.marks.close);
        let has_close = stack.get(list - 1) != ffi::LUA_TNIL;
        stack.pop(1);
        if has_close {
            return false;
        }
        if stack.push_element(list, 1) != ffi::LUA_TSTRING {
            stack.pop(1);
            return false;
        }
        self.yielded += 1;
        true
    }

    /// Why it has failed.
    pub fn error(&self) -> String {
        let text = self.chunk().map(|text| String::from_utf8_lossy(text).into_owned());
        text.unwrap_or_else(|| "the driver has raised an error that is not a string".to_string())
    }
}
