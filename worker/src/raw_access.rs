//! Grants access to bytes without framing: [`crate::app::RawOut`].
//!
//! Not part of `app`, and so not of what the crate `tine` exports of it: an application gets this access only from the code
//! that builds the server around it, the binary or `tine_cli::serve_raw`.

use crate::app::RawAccess;

pub fn grant() -> RawAccess {
    RawAccess::new()
}
