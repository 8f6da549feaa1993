//! `/fault/...`: failures that a proxy must survive, on request and exact on the wire.
//!
//! Most are a [`Script`] of bytes that no framed response could hold, over HTTP/2 one of frames ([`http2::script`]); they need raw access, which the binary grants
//! (`tine_worker::raw_access`). The others are valid HTTP that only behaves badly. A fault applies to every method, and
//! the request's body is read first. Heads have no Date and no Server, so that every byte is known.

mod chunks;
mod ends;
mod framed;
mod heads;
mod http2;
mod lengths;
mod params;
mod script;

use Make::{Framed, OverHttp2, Raw};
use script::Script;
use tine_worker::app::{Answer, RawAccess};
use tine_worker::http::{Request, Response, StatusCode, Version};

pub struct Fault {
    /// Path and parameters: `[]` encloses what is optional.
    pub usage: &'static str,
    pub example: &'static str,
    pub does: &'static str,
    make: Make,
}

/// The error is the text of a 400.
#[derive(Clone, Copy)]
enum Make {
    /// Over HTTP/1 and over HTTP/2.
    Raw(Of<Script>, Of<http2::script::Script>),
    OverHttp2(Of<http2::script::Script>),
    Framed(Of<Answer>),
}

type Of<T> = fn(&Request<'_>) -> Result<T, String>;

const fn fault(usage: &'static str, example: &'static str, does: &'static str, make: Make) -> Fault {
    Fault { usage, example, does, make }
}

#[rustfmt::skip] // a table
pub const FAULTS: &[Fault] = &[
    fault("/fault/reset[?after=&code=]", "/fault/reset?after=1000",
        "RST (HTTP/2: RST_STREAM with `code`) after `after` bytes of the body, or at once",
        Raw(ends::reset, http2::ends::reset)),
    fault("/fault/close[?after=]", "/fault/close?after=1000",
        "a FIN after `after` bytes of a body that was declared longer", Raw(ends::close, http2::ends::close)),
    fault("/fault/no-response", "/fault/no-response",
        "a FIN without a response", Raw(ends::no_response, http2::ends::no_response)),
    fault("/fault/half-header", "/fault/half-header",
        "a FIN in the middle of the head", Raw(heads::half_header, http2::heads::half_header)),
    fault("/fault/huge-header[?size=]", "/fault/huge-header?size=64K",
        "a header field of `size` bytes (64K), up to 64M (HTTP/2: 256K)",
        Raw(heads::huge_header, http2::heads::huge_header)),
    fault("/fault/bad-status-line[?kind=]", "/fault/bad-status-line?kind=letters",
        "a malformed status line (HTTP/2: `:status`), of several kinds",
        Raw(heads::bad_status_line, http2::heads::bad_status)),
    fault("/fault/lf-only", "/fault/lf-only",
        "lines that end without CR (HTTP/2: a line break in a field)", Raw(heads::lf_only, http2::heads::line_break)),
    fault("/fault/dribble-head[?every=]", "/fault/dribble-head?every=10",
        "the head byte by byte, one every `every` ms (20) (HTTP/2: a frame each)",
        Raw(heads::dribble_head, http2::heads::dribble_head)),
    fault("/fault/http09", "/fault/http09",
        "a body without a head", Raw(heads::http09, http2::heads::no_head)),
    fault("/fault/wrong-length[?declared=&sent=&then=]", "/fault/wrong-length?declared=9&sent=5",
        "a body that is shorter or longer than declared", Raw(lengths::wrong_length, http2::bodies::wrong_length)),
    fault("/fault/extra-body[?as=]", "/fault/extra-body?as=response",
        "extra bytes after the body's end, or a second response", Raw(lengths::extra_body, http2::bodies::extra_body)),
    fault("/fault/duplicate-length[?same=]", "/fault/duplicate-length",
        "two Content-Length fields, different or equal",
        Raw(lengths::duplicate_length, http2::bodies::duplicate_length)),
    fault("/fault/te-and-length", "/fault/te-and-length",
        "Transfer-Encoding, and a Content-Length that does not match",
        Raw(lengths::te_and_length, http2::bodies::te_and_length)),
    fault("/fault/body-on-204", "/fault/body-on-204",
        "a body with a status that allows none", Raw(lengths::body_on_204, http2::bodies::body_on_204)),
    fault("/fault/bad-chunk[?kind=]", "/fault/bad-chunk",
        "a malformed chunk (HTTP/2: as bad-frame) after a good one, of several kinds",
        Raw(chunks::bad_chunk, http2::frames::bad_frame)),
    fault("/fault/short-chunked[?inside=]", "/fault/short-chunked",
        "a FIN without the last chunk, or inside a chunk (HTTP/2: DATA)",
        Raw(chunks::short_chunked, http2::bodies::short_body)),
    fault("/fault/unknown-coding", "/fault/unknown-coding",
        "an unknown transfer coding", Raw(chunks::unknown_coding, http2::bodies::unknown_coding)),
    fault("/fault/stall[?after=&for=]", "/fault/stall?after=1000&for=2000",
        "a body that pauses after `after` bytes (0) for `for` ms (1000)", Framed(framed::stall)),
    fault("/fault/stalled-window[?after=&for=]", "/fault/stalled-window?for=2000",
        "takes no request body after `after` bytes (0) for `for` ms (1000)",
        Framed(framed::stalled_window)),
    fault("/fault/100s[?count=]", "/fault/100s?count=10",
        "`count` interim responses (10) before the final one", Framed(framed::interims)),
    fault("/fault/flaky[?rate=&seed=&n=]", "/fault/flaky?rate=0.5&seed=1",
        "503 for the share `rate` (0.1) of responses; the n-th of a seed is fixed", Framed(framed::flaky)),
    fault("/fault/bad-frame[?kind=]", "/fault/bad-frame?kind=padding",
        "HTTP/2: a malformed frame after a good one, of several kinds", OverHttp2(http2::frames::bad_frame)),
    fault("/fault/goaway[?after=&code=&last=]", "/fault/goaway?after=1000",
        "HTTP/2: GOAWAY with `code` and `last` after `after` bytes (0)",
        OverHttp2(http2::connection::goaway)),
    fault("/fault/no-acks[?of=]", "/fault/no-acks?of=pings",
        "HTTP/2: from now on no SETTINGS or PING of the connection is acknowledged",
        OverHttp2(http2::connection::no_acks)),
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
    let made = match (fault.make, request.version()) {
        (Framed(make), _) => make(request),
        (Raw(_, make) | OverHttp2(make), Version::Http2) => make(request).map(|script| script.play(raw_access)),
        (Raw(make, _), _) => make(request).map(|script| script.play(raw_access)),
        (OverHttp2(_), _) => return of_http2(&path),
    };
    made.unwrap_or_else(|text| {
        let text = format!("{text}usage: {}\n", fault.usage);
        Response::text(StatusCode::BAD_REQUEST, text).into()
    })
}

fn of_http2(path: &str) -> Answer {
    let text = format!("{path} is possible only over HTTP/2\n");
    Response::text(StatusCode::HTTP_VERSION_NOT_SUPPORTED, text).into()
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
