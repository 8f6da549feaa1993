//! `/fault/...`: failures that a proxy must survive, on request and exact on the wire.
//!
//! Most are a [`Script`] of bytes that no framed response could hold; they need raw access, which the binary grants
//! (`tine_worker::raw_access`). The others are valid HTTP that only behaves badly. A fault applies to every method, and
//! the request's body is read first. Heads have no Date and no Server, so that every byte is known.

mod chunks;
mod ends;
mod framed;
mod heads;
mod lengths;
mod params;
mod script;

use Make::{Framed, Raw};
use script::Script;
use tine_worker::app::{Answer, RawAccess};
use tine_worker::http::{Request, Response, StatusCode};

pub struct Fault {
    /// Path and parameters: `[]` encloses what is optional.
    pub usage: &'static str,
    pub example: &'static str,
    pub does: &'static str,
    make: Make,
}

/// The error is the text of a 400.
enum Make {
    Raw(fn(&Request<'_>) -> Result<Script, String>),
    Framed(fn(&Request<'_>) -> Result<Answer, String>),
}

const fn fault(usage: &'static str, example: &'static str, does: &'static str, make: Make) -> Fault {
    Fault { usage, example, does, make }
}

#[rustfmt::skip] // a table
pub const FAULTS: &[Fault] = &[
    fault("/fault/reset[?after=]", "/fault/reset?after=1000",
        "a reset (RST) after `after` bytes of the body; by default before any byte", Raw(ends::reset)),
    fault("/fault/close[?after=]", "/fault/close?after=1000",
        "a FIN after `after` bytes of a body that was declared longer", Raw(ends::close)),
    fault("/fault/no-response", "/fault/no-response",
        "a FIN without a response", Raw(ends::no_response)),
    fault("/fault/half-header", "/fault/half-header",
        "a FIN in the middle of the head", Raw(heads::half_header)),
    fault("/fault/huge-header[?size=]", "/fault/huge-header?size=64K",
        "a header field of `size` bytes (64K), up to 64M", Raw(heads::huge_header)),
    fault("/fault/bad-status-line[?kind=]", "/fault/bad-status-line?kind=protocol",
        "a malformed status line, of several kinds", Raw(heads::bad_status_line)),
    fault("/fault/lf-only", "/fault/lf-only",
        "lines that end without CR", Raw(heads::lf_only)),
    fault("/fault/dribble-head[?every=]", "/fault/dribble-head?every=10",
        "the head byte by byte, one every `every` ms (20)", Raw(heads::dribble_head)),
    fault("/fault/http09", "/fault/http09",
        "a body without a head", Raw(heads::http09)),
    fault("/fault/wrong-length[?declared=&sent=&then=]", "/fault/wrong-length?declared=9&sent=5",
        "a body that is shorter or longer than declared", Raw(lengths::wrong_length)),
    fault("/fault/extra-body[?as=]", "/fault/extra-body?as=response",
        "extra bytes after the declared body, or a second response", Raw(lengths::extra_body)),
    fault("/fault/duplicate-length[?same=]", "/fault/duplicate-length",
        "two Content-Length fields, different or equal", Raw(lengths::duplicate_length)),
    fault("/fault/te-and-length", "/fault/te-and-length",
        "a chunked body with a Content-Length that does not match", Raw(lengths::te_and_length)),
    fault("/fault/body-on-204", "/fault/body-on-204",
        "a body with a status that allows none", Raw(lengths::body_on_204)),
    fault("/fault/bad-chunk[?kind=]", "/fault/bad-chunk?kind=negative",
        "a malformed chunk after a good one, of several kinds", Raw(chunks::bad_chunk)),
    fault("/fault/short-chunked[?inside=]", "/fault/short-chunked",
        "a FIN without the last chunk, or inside a chunk", Raw(chunks::short_chunked)),
    fault("/fault/unknown-coding", "/fault/unknown-coding",
        "an unknown transfer coding", Raw(chunks::unknown_coding)),
    fault("/fault/stall[?after=&for=]", "/fault/stall?after=1000&for=2000",
        "a body that pauses after `after` bytes (0) for `for` ms (1000)", Framed(framed::stall)),
    fault("/fault/100s[?count=]", "/fault/100s?count=10",
        "`count` interim responses (10) before the final one", Framed(framed::interims)),
    fault("/fault/flaky[?rate=&seed=&n=]", "/fault/flaky?rate=0.5&seed=1",
        "503 for the share `rate` (0.1) of responses; the n-th of a seed is fixed", Framed(framed::flaky)),
];

impl Fault {
    fn path(&self) -> &'static str {
        self.usage.split('[').next().unwrap_or(self.usage)
    }
}

/// Answers `/fault` and all paths below it; `rest` is what follows. Without raw access faults are turned off.
pub fn answer(rest: &str, request: &Request<'_>, raw_access: Option<RawAccess>) -> Answer {
    let Some(raw_access) = raw_access else {
        return not_found("faults are disabled: this server runs with --no-faults\n".to_string());
    };
    let path = format!("/fault{rest}");
    let Some(fault) = FAULTS.iter().find(|fault| fault.path() == path) else {
        let line = |fault: &Fault| format!("  {:<40} {}\n", fault.example, fault.does);
        let lines: String = FAULTS.iter().map(line).collect();
        return not_found(format!("unknown fault {path}; known faults:\n{lines}"));
    };
    let made = match fault.make {
        Raw(make) => make(request).map(|script| script.play(raw_access)),
        Framed(make) => make(request),
    };
    made.unwrap_or_else(|text| {
        let text = format!("{text}usage: {}\n", fault.usage);
        Response::text(StatusCode::BAD_REQUEST, text).into()
    })
}

fn not_found(text: String) -> Answer {
    Response::text(StatusCode::NOT_FOUND, text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_there_once_and_its_example_asks_for_it() {
        for (i, fault) in FAULTS.iter().enumerate() {
            let path = fault.path();
            assert!(path.starts_with("/fault/") && !path.contains(['?', '{', '&']), "{path}");
            assert!(FAULTS[..i].iter().all(|earlier| earlier.path() != path), "{path} is there twice");
            assert_eq!(fault.example.split('?').next(), Some(path));
            assert!(fault.usage == path || fault.usage.contains("[?"), "{path}");
        }
    }
}
