//! The request that a pooled coroutine answers, as the functions that its app calls see it (`calls`).

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::null;

pub(super) struct Current {
    /// The coroutine's number.
    pub id: i64,
    /// Method, decoded path, query, head: there while the request begins.
    pub request: Cell<[(*const u8, usize); 4]>,
    /// Bytes of its body, and whether they are the last: there while the coroutine is resumed with them.
    pub body: Cell<(*const u8, usize, bool)>,
    pub is_started: Cell<bool>,
    /// Its environ, which the driver keeps.
    pub environ: Cell<*const c_void>,
    /// The keys of environ that were looked up, each with a zero byte after it. Those that are gone were removed by the
    /// app, and are not looked up again.
    looked_up: RefCell<Vec<u8>>,
}

impl Current {
    pub fn new(id: i64) -> Current {
        Current {
            id,
            request: Cell::new([(null(), 0); 4]),
            body: Cell::new((null(), 0, true)),
            is_started: Cell::new(false),
            environ: Cell::new(null()),
            looked_up: RefCell::default(),
        }
    }

    /// Sets the texts of a new request, until `forget`.
    pub fn begin(&self, request: [&[u8]; 4]) {
        self.request.set(request.map(|text| (text.as_ptr(), text.len())));
        self.is_started.set(false);
        self.environ.set(null());
        self.looked_up.borrow_mut().clear();
    }

    /// Sets bytes of the request's body, until `forget`.
    pub fn feed(&self, bytes: &[u8], is_end: bool) {
        self.body.set((bytes.as_ptr(), bytes.len(), is_end));
    }

    pub fn forget(&self) {
        self.request.set([(null(), 0); 4]);
        self.body.set((null(), 0, true));
    }

    pub fn is_started(&self) -> bool {
        self.is_started.get()
    }

    pub fn note_lookup(&self, key: &[u8]) {
        let mut looked_up = self.looked_up.borrow_mut();
        looked_up.extend_from_slice(key);
        looked_up.push(0);
    }

    pub fn has_looked_up(&self, key: &[u8]) -> bool {
        self.looked_up.borrow().split(|&byte| byte == 0).any(|other| other == key)
    }
}
