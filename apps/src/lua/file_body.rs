//! A body that is the rest of a file which the app has opened: `wsgi.file_wrapper`.

use super::host::Turn;
use super::sys::file_handle;
use crate::files;
use mlua::{Function, Lua, Value};
use std::fs::File;
use std::rc::Rc;
use tine_worker::app::{AppError, Out};

pub struct FileBody {
    file: Rc<File>,
    next: u64,
    left: u64,
}

impl FileBody {
    /// The bytes that are left to write.
    pub fn left(&self) -> u64 {
        self.left
    }

    pub fn set_left(&mut self, bytes: u64) {
        self.left = bytes;
    }

    /// Writes what there is room for; true: that was the last.
    pub fn write(&mut self, out: &mut Out<'_>) -> Result<bool, AppError> {
        let written = files::write_open(out, &self.file, self.next, self.left)?;
        self.next += written;
        self.left -= written;
        Ok(self.left == 0)
    }
}

/// `host.open_body(handle, position)`: whether the body can be this file from there on. If not, the driver reads it.
pub fn open(lua: &Lua, turn: &Rc<Turn>) -> mlua::Result<Function> {
    let turn = Rc::clone(turn);
    lua.create_function(move |lua, (handle, at): (Value, u64)| {
        let body = match file_handle::descriptor_of(lua, handle) {
            Ok(Some(descriptor)) => body_of(File::from(descriptor), at),
            // Closed, or no descriptor is left.
            Ok(None) | Err(_) => None,
        };
        let is_open = body.is_some();
        turn.file.replace(body);
        Ok(is_open)
    })
}

/// `None`: it is not a regular file, or has nothing more.
fn body_of(file: File, at: u64) -> Option<FileBody> {
    let metadata = file.metadata().ok().filter(|metadata| metadata.is_file())?;
    let left = metadata.len().checked_sub(at).filter(|&left| left > 0)?;
    Some(FileBody { file: Rc::new(file), next: at, left })
}
