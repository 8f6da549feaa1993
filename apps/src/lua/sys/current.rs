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
    /// All of its body, if that has arrived with its head: there while the request begins, until it is taken.
    pub arrived: Cell<Option<(*const u8, usize)>>,
    pub has_body: Cell<bool>,
    pub is_started: Cell<bool>,
    /// Its environ, which the driver keeps.
    pub environ: Cell<*const c_void>,
    /// Its wsgi.input, once there is one. Another one, of an earlier request, has another address while this one lives.
    pub input: Cell<*const c_void>,
    /// The keys of environ that were looked up. Those that are gone were removed by the app, and are not looked up
    /// again.
    looked_up: RefCell<Keys>,
}

/// The body of a request that begins.
#[derive(Clone, Copy)]
pub struct Body<'a> {
    /// There may be a byte of it.
    pub is_announced: bool,
    /// All of it, if it has arrived.
    pub arrived: Option<&'a [u8]>,
}

#[derive(Default)]
struct Keys {
    /// One after the other.
    bytes: Vec<u8>,
    lengths: Vec<usize>,
}

impl Current {
    pub fn new(id: i64) -> Current {
        Current {
            id,
            request: Cell::new([(null(), 0); 4]),
            body: Cell::new((null(), 0, true)),
            arrived: Cell::new(None),
            has_body: Cell::new(false),
            is_started: Cell::new(false),
            environ: Cell::new(null()),
            input: Cell::new(null()),
            looked_up: RefCell::default(),
        }
    }

    /// Sets the texts of a new request, until `forget`, and what is known of its body.
    pub fn begin(&self, request: [&[u8]; 4], body: Body<'_>) {
        self.request.set(request.map(|text| (text.as_ptr(), text.len())));
        self.arrived.set(body.arrived.map(|body| (body.as_ptr(), body.len())));
        self.has_body.set(body.is_announced);
        self.input.set(null());
        self.is_started.set(false);
        self.environ.set(null());
        let Keys { bytes, lengths } = &mut *self.looked_up.borrow_mut();
        bytes.clear();
        lengths.clear();
    }

    /// Sets bytes of the request's body, until `forget`.
    pub fn feed(&self, bytes: &[u8], is_end: bool) {
        self.body.set((bytes.as_ptr(), bytes.len(), is_end));
    }

    pub fn forget(&self) {
        self.request.set([(null(), 0); 4]);
        self.body.set((null(), 0, true));
        self.arrived.set(None);
    }

    pub fn is_started(&self) -> bool {
        self.is_started.get()
    }

    /// Whether this is the address of its wsgi.input.
    pub fn is_input(&self, input: *const c_void) -> bool {
        !input.is_null() && self.input.get() == input
    }

    pub fn note_lookup(&self, key: &[u8]) {
        let Keys { bytes, lengths } = &mut *self.looked_up.borrow_mut();
        bytes.extend_from_slice(key);
        lengths.push(key.len());
    }

    pub fn has_looked_up(&self, key: &[u8]) -> bool {
        let Keys { bytes, lengths } = &*self.looked_up.borrow();
        let mut rest = bytes.as_slice();
        lengths.iter().any(|&length| {
            let (other, after) = rest.split_at(length);
            rest = after;
            other == key
        })
    }
}
