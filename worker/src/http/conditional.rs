//! Conditional requests (RFC 9110, 13): whether a request's preconditions hold for the representation that it would be
//! answered with. Pure: called with the request's head and the representation's validators, before the response begins.
//!
//! Only for responses that would be 2xx without the preconditions (13.2.1): a 404 stays a 404. A malformed value
//! matches nothing, so it neither permits a write (If-Match) nor saves a body (If-None-Match); a malformed date is
//! ignored (13.1.3, 13.1.4).

use super::{Headers, HttpDate};
use std::fmt;

/// The validators of the current version of a representation (RFC 9110, 8.8).
#[derive(Debug, Clone, Copy)]
pub struct Validators<'a> {
    /// The entity tag, sent as ETag.
    pub etag: Option<EntityTag<'a>>,
    /// The date of the last change, sent as Last-Modified.
    pub last_modified: Option<HttpDate>,
    /// It cannot have changed twice in that second (8.8.2.2): then the date is a strong validator, good for ranges.
    pub last_modified_is_strong: bool,
}

/// The result of a request's preconditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Answer as without preconditions.
    Holds,
    /// 304, with the validators and the other fields for caches that a 200 would have (15.4.5).
    NotModified,
    /// 412, and the method is not performed.
    Failed,
}

/// Evaluates If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since in the order of 13.2.2. If-Range, the
/// last step, belongs to ranges: [`if_range_holds`].
pub fn evaluate(method: &str, headers: Headers<'_>, current: Validators<'_>) -> Precondition {
    // These select no representation (13.2.1).
    if ["CONNECT", "OPTIONS", "TRACE"].contains(&method) {
        return Precondition::Holds;
    }
    let reads = method == "GET" || method == "HEAD";
    // 1., or else 2.
    let may_go_on = if headers.has("if-match") {
        is_listed(headers, "if-match", |tag| current.etag.is_some_and(|etag| tag.is_strongly(etag)))
    } else {
        date_of(headers, "if-unmodified-since").zip(current.last_modified).is_none_or(|(since, at)| at <= since)
    };
    if !may_go_on {
        return Precondition::Failed;
    }
    // 3., or else 4.
    let is_known = if headers.has("if-none-match") {
        is_listed(headers, "if-none-match", |tag| current.etag.is_some_and(|etag| tag.is_weakly(etag)))
    } else {
        let since = date_of(headers, "if-modified-since").filter(|_| reads);
        since.zip(current.last_modified).is_some_and(|(since, at)| at <= since)
    };
    match (is_known, reads) {
        (false, _) => Precondition::Holds,
        (true, true) => Precondition::NotModified,
        (true, false) => Precondition::Failed,
    }
}

/// Whether a Range field applies: there is no If-Range, or it names exactly this version (RFC 9110, 13.1.5).
pub fn if_range_holds(headers: Headers<'_>, current: Validators<'_>) -> bool {
    let Some(value) = headers.get("if-range") else { return true };
    // The first three bytes tell a tag from a date.
    if value.iter().take(3).any(|&b| b == b'"') {
        return EntityTag::parse(value).zip(current.etag).is_some_and(|(tag, etag)| tag.is_strongly(etag));
    }
    current.last_modified_is_strong && current.last_modified.is_some_and(|at| HttpDate::parse(value) == Some(at))
}

/// The only field of this name, as a date. `None` if there are several, or a list in one.
fn date_of(headers: Headers<'_>, name: &str) -> Option<HttpDate> {
    let mut values = headers.all(name);
    HttpDate::parse(values.next()?).filter(|_| values.next().is_none())
}

/// Whether the fields of this name are `*`, or list the representation's tag.
fn is_listed(headers: Headers<'_>, name: &str, is_ours: impl Fn(EntityTag<'_>) -> bool) -> bool {
    let mut values = headers.all(name);
    let is_any = values.next() == Some(b"*".as_slice()) && values.next().is_none();
    is_any || headers.all(name).any(|value| TagList(value).any(&is_ours))
}

/// An entity tag (RFC 9110, 8.8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityTag<'a> {
    is_weak: bool,
    /// Between the quotes.
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// `None` if `opaque` has a byte that is not allowed between the quotes.
    pub fn new(opaque: &'a str, is_weak: bool) -> Option<Self> {
        opaque.bytes().all(is_tag_byte).then_some(EntityTag { is_weak, opaque: opaque.as_bytes() })
    }

    /// A field value that is one tag.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        EntityTag::split(value).filter(|(_, rest)| rest.is_empty()).map(|(tag, _)| tag)
    }

    /// The tag that `bytes` begin with, and the rest.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (is_weak, quoted) = match bytes {
            // Case-sensitive.
            [b'W', b'/', quoted @ ..] => (true, quoted),
            quoted => (false, quoted),
        };
        let opaque = quoted.strip_prefix(b"\"")?;
        let end = opaque.iter().position(|&b| !is_tag_byte(b))?;
        let rest = opaque[end..].strip_prefix(b"\"")?;
        Some((EntityTag { is_weak, opaque: &opaque[..end] }, rest))
    }

    /// The strong comparison (8.8.3.2): byte for byte the same representation.
    pub fn is_strongly(self, other: EntityTag<'_>) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    /// The weak comparison: an equivalent representation.
    pub fn is_weakly(self, other: EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

impl fmt::Display for EntityTag<'_> {
    /// As a field value: `"x"` or `W/"x"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.is_weak { "W/" } else { "" };
        write!(f, "{prefix}\"{}\"", String::from_utf8_lossy(self.opaque))
    }
}

/// `etagc` (8.8.3): anything except controls, space and the quote.
fn is_tag_byte(b: u8) -> bool {
    b > b' ' && b != b'"' && b != 0x7f
}

/// The tags of one list, up to the first malformed one. Empty elements are skipped (RFC 9110, 5.6.1.2).
struct TagList<'a>(&'a [u8]);

impl<'a> Iterator for TagList<'a> {
    type Item = EntityTag<'a>;

    fn next(&mut self) -> Option<EntityTag<'a>> {
        let start = self.0.iter().position(|b| !b" \t,".contains(b))?;
        let (tag, rest) = EntityTag::split(&self.0[start..])?;
        let rest = rest.trim_ascii_start();
        self.0 = rest;
        (rest.is_empty() || rest.starts_with(b",")).then_some(tag)
    }
}

#[cfg(test)]
#[path = "conditional_tests.rs"]
mod tests;
