//! The access log: which requests have a line, what is in it, and where it goes.

mod datagram;
mod directives;
mod format;
mod lines;
mod sink;
mod target;

pub use format::{Form, Format, PRESETS, Piece, Stage, Time, Unit, Value};
pub use lines::Lines;
pub use sink::{Opened, Sink};
pub use target::Target;
