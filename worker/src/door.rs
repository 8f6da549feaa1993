//! Opens the door to bytes without framing; what lies behind it is [`crate::app::RawOut`].
//!
//! Not part of `app`, and so not of what the crate `tine` shows of it: an application gets a door only from who builds the
//! server around it, the binary or `tine::serve_raw`.

use crate::app::RawDoor;

pub fn open() -> RawDoor {
    RawDoor::new()
}
