//! Which Lua code runs, for the crash report of a worker that hangs in it (`crash`).
//!
//! Rust code that resumes a coroutine records it ([`resumed`]). What that coroutine has resumed in turn is found from
//! its stack: the first argument of the C function on top, `coroutine.resume`, is the coroutine that it waits for.
//!
//! A traceback is best made in a hook, between two instructions (`interrupt`, as lua.c does for SIGINT). No hook is
//! called during a C function, a finalizer or code that LuaJIT has compiled; then `trace` is called from a signal
//! handler. So it uses only what neither allocates nor changes a stack: lua_getstack and lua_getinfo. LuaJIT's
//! finalizers have a stack of their own, which is not visible: the trace ends where the collector ran.

use mlua::{Thread, ffi, lua_State};
use std::ffi::CStr;
use std::fmt::Write;
use std::ptr::null_mut;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;
use tine_common::crash::{self, Interpreter};
use tine_common::fixed_text::FixedText;

/// Nested coroutines; Lua allows about as many.
const DEPTH_MAX: usize = 200;
/// The calls of one coroutine that are shown, innermost first.
const CALLS_MAX: i32 = 22;
/// The name of the server's own chunks.
const OURS: &[u8] = b"=tine";

static RUNNING: AtomicPtr<lua_State> = AtomicPtr::new(null_mut());

/// As long as it lives, a coroutine is recorded as running.
pub struct Resumed {
    before: *mut lua_State,
}

/// Records that the coroutine is resumed; when the value is dropped, the one recorded before is restored.
#[must_use]
pub fn resumed(thread: &Thread) -> Resumed {
    let resumed = Resumed { before: RUNNING.load(Relaxed) };
    RUNNING.store(thread.state(), Relaxed);
    resumed
}

/// Records a VM's main coroutine, in which finalizers and calls from Rust run. To be dropped before the VM is.
#[must_use]
pub fn opened(main: &Thread) -> Resumed {
    RUNNING.store(main.state(), Relaxed);
    Resumed { before: null_mut() }
}

impl Drop for Resumed {
    fn drop(&mut self) {
        RUNNING.store(self.before, Relaxed);
    }
}

/// Makes the crash report of this process include where Lua is.
pub(super) fn register() {
    crash::set_interpreter(Interpreter { interrupt, trace });
}

fn interrupt() -> bool {
    let mask = ffi::LUA_MASKCALL | ffi::LUA_MASKRET | ffi::LUA_MASKCOUNT;
    let set = |state| {
        // SAFETY: the code that recorded this coroutine keeps it alive; lua_sethook may be called from a signal
        // handler.
        unsafe { ffi::lua_sethook(state, Some(on_instruction), mask, 1) };
    };
    let state = RUNNING.load(Relaxed);
    if state.is_null() || call_at(state, 0).is_none() {
        return false;
    }
    if cfg!(feature = "luajit") {
        // One hook for all coroutines. While its interpreter runs, the stack is not consistent.
        set(state);
    } else {
        let mut states = [null_mut(); DEPTH_MAX];
        chain(&mut states).iter().for_each(|&state| set(state));
    }
    true
}

unsafe extern "C-unwind" fn on_instruction(_: *mut lua_State, _: *mut ffi::lua_Debug) {
    crash::trace_and_die();
}

/// The coroutines that are running, each resumed by the one before.
fn chain(states: &mut [*mut lua_State; DEPTH_MAX]) -> &[*mut lua_State] {
    let mut count = 0;
    let mut state = RUNNING.load(Relaxed);
    while !state.is_null() && count < DEPTH_MAX {
        states[count] = state;
        count += 1;
        state = resumed_by(state);
    }
    &states[..count]
}

/// The coroutine that this one waits for; null if there is none.
fn resumed_by(state: *mut lua_State) -> *mut lua_State {
    match call(state, 0) {
        Some(call) if call.is_c => {}
        _ => return null_mut(),
    }
    // SAFETY: reads the first argument of the C function on top, without a change of the stack.
    let inner = unsafe { ffi::lua_tothread(state, 1) };
    if inner.is_null() || inner == state {
        return null_mut();
    }
    // A suspended one has yielded, has not started, or is dead.
    // SAFETY: reads the status of a coroutine that is an argument and thereby alive.
    let is_active = unsafe { ffi::lua_status(inner) } == ffi::LUA_OK && call_at(inner, 0).is_some();
    if is_active { inner } else { null_mut() }
}

/// One call on a stack.
struct Call {
    facts: ffi::lua_Debug,
    is_c: bool,
    is_ours: bool,
}

/// The call at this level, the innermost being 0, without its facts.
fn call_at(state: *mut lua_State, level: i32) -> Option<ffi::lua_Debug> {
    // SAFETY: all fields are numbers and pointers, for which zero is a value.
    let mut facts: ffi::lua_Debug = unsafe { std::mem::zeroed() };
    // SAFETY: `state` is a live coroutine and `facts` outlives the call; nothing is allocated.
    (unsafe { ffi::lua_getstack(state, level, &mut facts) } != 0).then_some(facts)
}

fn call(state: *mut lua_State, level: i32) -> Option<Call> {
    let mut facts = call_at(state, level)?;
    // SAFETY: as above, and these three of the facts neither allocate nor push.
    if unsafe { ffi::lua_getinfo(state, c"Sln".as_ptr(), &mut facts) } == 0 {
        return None;
    }
    let (is_c, is_ours) = (text(facts.what) == b"C", text(facts.source) == OURS);
    Some(Call { facts, is_c, is_ours })
}

fn trace(out: &mut FixedText) {
    let mut states = [null_mut(); DEPTH_MAX];
    for &state in chain(&mut states).iter().rev() {
        for level in 0.. {
            let Some(call) = call(state, level) else { break };
            if level == CALLS_MAX {
                out.push("\n  \t...");
                break;
            }
            // Functions called by the server are not the app's: xpcall, resume.
            let is_called_by_us = || self::call(state, level + 1).is_none_or(|caller| caller.is_ours);
            if call.is_ours || call.is_c && is_called_by_us() {
                continue;
            }
            push_call(&call, out);
        }
    }
}

/// Formats a call as luaL_traceback does.
fn push_call(call: &Call, out: &mut FixedText) {
    let facts = &call.facts;
    out.push("\n  \t");
    out.push_one_line(text(facts.short_src.as_ptr()));
    if facts.currentline > 0 {
        // Writing to this cannot fail, here and below.
        let _ = write!(out, ":{}", facts.currentline);
    }
    match (text(facts.what), text(facts.namewhat)) {
        (b"main", _) => out.push(": in main chunk"),
        (b"C", b"") => out.push(": in ?"),
        (_, b"") => {
            out.push(": in function <");
            out.push_one_line(text(facts.short_src.as_ptr()));
            let _ = write!(out, ":{}>", facts.linedefined);
        }
        (_, kind) => {
            out.push(": in ");
            out.push_one_line(kind);
            out.push(" '");
            out.push_one_line(text(facts.name));
            out.push("'");
        }
    }
}

fn text<'a>(start: *const std::ffi::c_char) -> &'a [u8] {
    if start.is_null() {
        return b"";
    }
    // SAFETY: Lua's strings end with NUL; those of a call that has not ended live.
    unsafe { CStr::from_ptr(start) }.to_bytes()
}
