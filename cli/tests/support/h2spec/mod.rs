//! The cases of h2spec (github.com/summerwind/h2spec 2.6.0) in its sections' order, by RFC 7540 and 7541: what is sent, and
//! what must come. Where h2spec also accepts that the connection ends without a reason, this does not.

mod case;
mod frames;
mod generic;
mod hpack;
mod messages;
mod streams;

#[allow(unused_imports)] // each test file uses a part of it
pub use case::{Case, Paths};

/// All cases, for a server that answers at these paths.
pub fn all(paths: Paths) -> Vec<Case> {
    let groups = [generic::cases, streams::cases, frames::cases, messages::cases, hpack::cases];
    groups.into_iter().flat_map(|cases| cases(paths)).collect()
}
