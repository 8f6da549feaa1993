//! The descriptor of a file that an app has opened (`io.open`, `io.popen`, `io.tmpfile`).

use mlua::{Lua, Value, ffi};
use nix::libc;
use std::ffi::c_int;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::ptr::null_mut;

/// What Lua keeps of a file handle: luaL_Stream of Lua 5.4, IOFileUD of LuaJIT.
#[repr(C)]
struct Handle {
    file: *mut libc::FILE,
    /// Null: the file is closed. LuaJIT nulls `file` instead.
    #[cfg(feature = "lua54")]
    close: Option<ffi::lua_CFunction>,
}

impl Handle {
    fn file(&self) -> Option<*mut libc::FILE> {
        #[cfg(feature = "lua54")]
        self.close?;
        (!self.file.is_null()).then_some(self.file)
    }
}

/// Another descriptor of the same open file, so that the app may close its own. The error: the value is not a file handle,
/// or no descriptor is left. `None`: it is closed.
pub fn descriptor_of(lua: &Lua, handle: Value) -> mlua::Result<Option<OwnedFd>> {
    let mut found: *mut Handle = null_mut();
    // SAFETY: the value is the only one on the stack. An error is caught, and jumps over nothing that has to be dropped.
    unsafe { lua.exec_raw::<()>(handle, |state| found = file_handle(state, 1))? };
    // SAFETY: it is the memory of a file handle, which has this form, and the caller's value keeps it.
    let Some(file) = unsafe { found.as_ref() }.and_then(Handle::file) else { return Ok(None) };
    // SAFETY: the file is open.
    let fd: RawFd = unsafe { libc::fileno(file) };
    if fd < 0 {
        return Ok(None); // it has no descriptor, as of fmemopen(3)
    }
    // SAFETY: the file is open and keeps the descriptor so.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    fd.try_clone_to_owned().map(Some).map_err(mlua::Error::external)
}

/// # Safety
///
/// The stack has a value at this place, and errors are caught.
unsafe fn file_handle(state: *mut mlua::lua_State, at: c_int) -> *mut Handle {
    // SAFETY: as the caller promises; both Luas register their file handles by this name.
    let handle = unsafe { ffi::luaL_checkudata(state, at, c"FILE*".as_ptr()) }.cast();
    // SAFETY: the value is the stack's only one.
    unsafe { ffi::lua_settop(state, 0) };
    handle
}
