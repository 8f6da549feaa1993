//! The endpoints: one table, from which requests are routed and `/help` is made, and by which tests see that the
//! documents miss none. What an endpoint answers is in the file of its family.
//!
//! The order of the rows is only the order in `/help`: among the patterns that match a path, the one that covers most
//! of it wins.

use super::coder::Coding;
use super::fault::{self, FAULTS};
use super::{
    Origin, bin, chunked, compressed, cookies, delay, echo, etag, headers, identity, mix, nousage, random, range,
    redirect, sse, status, stream, trickle, upload, websocket,
};
use crate::health;
use Family::{Basics, Faults, Representations, Streams, WebSocket};
use tine_worker::app::{Answer, Cx};
use tine_worker::http::Request;

pub struct Endpoint {
    pattern: Pattern,
    family: Family,
    listed: Listed,
    answer: Handler,
}

/// Which decoded paths an endpoint answers. No two endpoints have the same text in their patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    /// Every path, if no other pattern matches it.
    Any,
    /// This path.
    Exact(&'static str),
    /// Every path that begins with this, in the middle of a segment too.
    Prefix(&'static str),
    /// This path and those below it.
    Tree(&'static str),
}

/// The headings of `/help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Basics,
    Streams,
    Representations,
    Faults,
    WebSocket,
}

/// A line of `/help`.
pub struct HelpLine {
    /// Path and parameters: `{}` stands for a value, `[]` encloses what is optional.
    pub usage: &'static str,
    /// A path that is worth following in a browser.
    pub example: &'static str,
    pub does: &'static str,
}

enum Listed {
    Line(HelpLine),
    Lines(&'static [HelpLine]),
}

/// The text is what follows the pattern in the decoded path.
type Handler = fn(&Origin, &str, &Request<'_>, &Cx<'_>) -> Answer;

/// Answers what no other endpoint does.
#[rustfmt::skip] // a row
const ECHO: Endpoint =
    any(Basics, "/", "/any/path?x=y", "echo the request as JSON; so does every path not listed here",
        |origin, _, request, cx| echo::answer(request, cx, &origin.hostname));

#[rustfmt::skip] // a table
pub const ENDPOINTS: &[Endpoint] = &[
    ECHO,
    exact(Basics, "/health", "/health", r#"{"status":"ok"}"#,
        |_, _, _, cx| health::answer(cx)),
    exact(Basics, "/help", "/help", "this list; a page for a browser",
        |origin, _, request, _| origin.help.answer(request)),
    prefix(Basics, "/delay/{ms}[/{read ms}]", "/delay/300",
        "echo after ms; with a second number, read the body that slowly first",
        |origin, delays, request, cx| delay::answer(delays, request, cx, &origin.hostname)),
    prefix(Basics, "/nousage[/wrongct|/badjson|/empty]", "/nousage",
        "an echo without token usage; or with a wrong type, truncated, empty",
        |origin, rest, request, cx| nousage::answer(rest, request, cx, &origin.hostname)),
    prefix(Basics, "/status/{code}", "/status/404",
        "an echo with that status, 100 to 599; 1xx comes before a 200",
        |origin, code, request, cx| status::answer(code, request, cx, &origin.hostname)),
    exact(Basics, "/upload", "/upload", "read and count the request body, however large",
        |origin, _, request, cx| upload::answer(request, cx, &origin.hostname)),
    exact(Basics, "/mix?max=[&p50=&p99=&seed=&n=]", "/mix?p50=20&p99=200&max=1000",
        "a response after a delay from these quantiles (ms); the n-th of a seed is fixed",
        |_, _, request, cx| mix::answer(request, cx)),
    tree(Basics, "/anything[/...]", "/anything/at/all", "the echo by another name",
        |origin, _, request, cx| echo::answer(request, cx, &origin.hostname)),
    exact(Basics, "/ip", "/ip", "the address that the request came from",
        |_, _, request, cx| identity::ip(request, cx)),
    exact(Basics, "/uuid", "/uuid", "a random UUID (version 4)",
        |_, _, _, _| identity::uuid()),

    prefix(Streams, "/bin/{size}[?chunked=1]", "/bin/1M",
        "size bytes (512, 1K, 10M, 1G, ...), with Content-Length or chunked",
        |origin, size, request, _| bin::answer(size, request, origin.bin)),
    prefix(Streams, "/chunked/{n}[?size=&delay=]", "/chunked/10?size=100&delay=300",
        "n chunks of size bytes (1024), delay ms (0) between them",
        |origin, count, request, _| chunked::answer(count, request, origin.bin)),
    tree(Streams, "/stream[/{MB}]", "/stream/1", "a chunked stream of 10 (or 1 to 1000) MB in small chunks",
        |origin, rest, request, cx| {
            let stream = stream::answer(rest, origin.config.stream_mb, &origin.stream);
            stream.unwrap_or_else(|| echo::answer(request, cx, &origin.hostname))
        }),
    exact(Streams, "/sse[?count=&every=]", "/sse?count=5",
        "server-sent events, one every `every` ms (1000); endless without count",
        |_, _, request, _| sse::answer(request)),
    prefix(Streams, "/trickle/{bytes}[?every=]", "/trickle/20",
        "a body of a declared length, one byte every `every` ms (100)",
        |origin, bytes, request, _| trickle::answer(bytes, request, origin.bin)),
    prefix(Streams, "/random/{size}[?seed=&length=1]", "/random/100",
        "bytes that do not compress, and their SHA-256 in a trailer",
        |_, size, request, _| random::answer(size, request)),

    prefix(Representations, "/headers/{n}[?size=]", "/headers/10?size=100",
        "n response headers with values of size bytes (16)",
        |_, count, request, _| headers::answer(count, request)),
    prefix(Representations, "/cookies/{n}", "/cookies/3", "set n cookies and list those that came",
        |_, count, request, _| cookies::answer(count, request)),
    prefix(Representations, "/redirect/{n}[?code=&absolute=1]", "/redirect/3",
        "n redirects (302) and then the echo; by path or by absolute URL",
        |_, hops, request, cx| redirect::answer(hops, request, cx)),
    prefix(Representations, "/range/{size}", "/range/1K",
        "the bytes of /bin/{size}, for range requests: one, several, If-Range",
        |origin, size, request, _| range::answer(size, request, origin.bin)),
    prefix(Representations, "/etag/{tag}[?weak=1]", "/etag/v1",
        "a representation with that entity tag, for conditional requests",
        |_, tag, request, _| etag::answer(tag, request)),
    exact(Representations, "/gzip[?level=]", "/gzip", "the echo compressed with gzip, if Accept-Encoding allows it",
        |origin, _, request, cx| compressed::answer(Coding::Gzip, origin, request, cx)),
    exact(Representations, "/brotli[?level=]", "/brotli", "the same with brotli",
        |origin, _, request, cx| compressed::answer(Coding::Brotli, origin, request, cx)),
    exact(Representations, "/zstd[?level=]", "/zstd", "the same with zstd",
        |origin, _, request, cx| compressed::answer(Coding::Zstd, origin, request, cx)),

    Endpoint { pattern: Pattern::Tree("/fault"), family: Faults, listed: Listed::Lines(&FAULT_LINES),
        answer: |origin, rest, request, _| fault::answer(rest, request, origin.config.raw_access) },

    // Every path that begins so is a WebSocket, as in hpdummy.
    prefix(WebSocket, "/ws", "/help#live", "echo messages",
        |_, _, request, _| websocket::echo(request)),
    exact(WebSocket, "/ws/close", "/help#live", "answer one message and close",
        |_, _, request, _| websocket::close(request)),
    exact(WebSocket, "/ws/ticker[?every=&count=]", "/help#live", "a message every `every` ms",
        |_, _, request, cx| websocket::ticker(request, cx)),
];

/// The faults have their own table, which also implements them.
const FAULT_LINES: [HelpLine; FAULTS.len()] = {
    let mut lines = [const { HelpLine { usage: "", example: "", does: "" } }; FAULTS.len()];
    let mut i = 0;
    while i < FAULTS.len() {
        lines[i] = HelpLine { usage: FAULTS[i].usage, example: FAULTS[i].example, does: FAULTS[i].does };
        i += 1;
    }
    lines
};

/// The endpoints by the first byte after the slash, so that few patterns are compared with a path: with all of them, a
/// call for `/bin/1` took 1373 instructions instead of 890. Made once a worker.
pub struct Routes(Vec<Vec<&'static Endpoint>>);

impl Routes {
    pub fn of(endpoints: &'static [Endpoint]) -> Routes {
        let mut routes = vec![Vec::new(); usize::from(u8::MAX) + 1];
        for endpoint in endpoints {
            routes[initial(endpoint.pattern.text())].push(endpoint);
        }
        Routes(routes)
    }

    /// The endpoint of a decoded path, and what follows its pattern there: the shortest rest that any pattern leaves.
    pub fn find<'a>(&self, path: &'a str) -> (&'static Endpoint, &'a str) {
        let candidates = self.0[initial(path)].iter();
        let matching = candidates.filter_map(|endpoint| Some((*endpoint, endpoint.pattern.rest(path)?)));
        matching.min_by_key(|(_, rest)| rest.len()).unwrap_or((&ECHO, path))
    }
}

/// 0 if there is none; every pattern except [`Pattern::Any`] has one.
fn initial(path: &str) -> usize {
    path.as_bytes().get(1).map_or(0, |byte| usize::from(*byte))
}

impl Endpoint {
    pub(super) fn answer(&self, origin: &Origin, rest: &str, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        (self.answer)(origin, rest, request, cx)
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// Its lines in `/help`, at least one.
    pub fn lines(&self) -> &[HelpLine] {
        match &self.listed {
            Listed::Line(line) => std::slice::from_ref(line),
            Listed::Lines(lines) => lines,
        }
    }
}

impl Pattern {
    fn text(self) -> &'static str {
        match self {
            Pattern::Any => "",
            Pattern::Exact(text) | Pattern::Prefix(text) | Pattern::Tree(text) => text,
        }
    }

    /// What follows in a path that matches; `None` if it does not.
    fn rest(self, path: &str) -> Option<&str> {
        match self {
            Pattern::Any => Some(path),
            Pattern::Exact(whole) => (path == whole).then_some(""),
            Pattern::Prefix(start) => path.strip_prefix(start),
            Pattern::Tree(root) => path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

impl Family {
    pub const ALL: [Family; 5] = [Basics, Streams, Representations, Faults, WebSocket];

    pub fn heading(self) -> &'static str {
        match self {
            Basics => "Basics",
            Streams => "Streams",
            Representations => "Representations",
            Faults => "Faults",
            WebSocket => "WebSocket",
        }
    }
}

type Text = &'static str;

const fn any(family: Family, usage: Text, example: Text, does: Text, answer: Handler) -> Endpoint {
    endpoint(Pattern::Any, family, HelpLine { usage, example, does }, answer)
}

const fn exact(family: Family, usage: Text, example: Text, does: Text, answer: Handler) -> Endpoint {
    endpoint(Pattern::Exact(fixed_part(usage)), family, HelpLine { usage, example, does }, answer)
}

const fn prefix(family: Family, usage: Text, example: Text, does: Text, answer: Handler) -> Endpoint {
    endpoint(Pattern::Prefix(fixed_part(usage)), family, HelpLine { usage, example, does }, answer)
}

const fn tree(family: Family, usage: Text, example: Text, does: Text, answer: Handler) -> Endpoint {
    endpoint(Pattern::Tree(fixed_part(usage)), family, HelpLine { usage, example, does }, answer)
}

const fn endpoint(pattern: Pattern, family: Family, line: HelpLine, answer: Handler) -> Endpoint {
    Endpoint { pattern, family, listed: Listed::Line(line), answer }
}

/// The path up to the first value or parameter.
const fn fixed_part(usage: &str) -> &str {
    let mut end = 0;
    while end < usage.len() && !matches!(usage.as_bytes()[end], b'{' | b'[' | b'?') {
        end += 1;
    }
    assert!(end > 1, "the slash and a name");
    usage.split_at(end).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::percent;

    fn found(path: &str) -> (Pattern, &str) {
        let (endpoint, rest) = Routes::of(ENDPOINTS).find(path);
        (endpoint.pattern, rest)
    }

    #[test]
    fn no_pattern_hides_another() {
        for (i, Endpoint { pattern, .. }) in ENDPOINTS.iter().enumerate() {
            let pattern = *pattern;
            let text = pattern.text();
            assert!(ENDPOINTS[..i].iter().all(|earlier| earlier.pattern.text() != text), "{pattern:?} is there twice");
            let rests: &[&str] = match pattern {
                Pattern::Any => &["", "*", "/", "//", "/~", "/~/~"],
                Pattern::Exact(_) => &[""],
                Pattern::Prefix(_) => &["", "~", "~/~"],
                Pattern::Tree(_) => &["", "/", "/~"],
            };
            for rest in rests {
                assert_eq!(found(&format!("{text}{rest}")), (pattern, *rest));
            }
        }
    }

    #[test]
    fn the_pattern_that_covers_most_of_a_path_wins() {
        use Pattern::{Any, Exact, Prefix, Tree};
        for (path, expected) in [
            ("/health", (Exact("/health"), "")),
            ("/health/", (Any, "/health/")),
            ("/bin", (Any, "/bin")),
            ("/bin/1K", (Prefix("/bin/"), "1K")),
            ("/nousagexyz", (Prefix("/nousage"), "xyz")),
            ("/stream", (Tree("/stream"), "")),
            ("/stream/5", (Tree("/stream"), "/5")),
            ("/streams", (Any, "/streams")),
            ("/faults", (Any, "/faults")),
            ("/anything", (Tree("/anything"), "")),
            ("/ws", (Prefix("/ws"), "")),
            ("/wsfoo", (Prefix("/ws"), "foo")),
            ("/ws/close", (Exact("/ws/close"), "")),
            ("/ws/closed", (Prefix("/ws"), "/closed")),
            ("/ws/ticker/", (Prefix("/ws"), "/ticker/")),
            ("/gzip/", (Any, "/gzip/")),
        ] {
            assert_eq!(found(path), expected, "{path}");
        }
    }

    #[test]
    fn a_line_is_one_line_and_its_example_asks_for_its_endpoint() {
        let mut usages = Vec::new();
        for endpoint in ENDPOINTS {
            assert!(!endpoint.lines().is_empty(), "{:?}", endpoint.pattern);
            for HelpLine { usage, example, does } in endpoint.lines() {
                assert!(usage.starts_with('/') && usage.starts_with(endpoint.pattern.text()), "{usage}");
                assert!([usage, example, does].iter().all(|text| !text.contains(['\r', '\n'])), "{usage}");
                assert!(example.bytes().all(|b| b.is_ascii_graphic()), "{example} can be sent as it is");
                assert!(!does.is_empty() && !usages.contains(usage), "{usage} is there twice");
                let path = percent::decode_text(example.split(['?', '#']).next().unwrap_or_default());
                // A browser opens a WebSocket from the page only.
                assert!(*example == "/help#live" || found(&path).0 == endpoint.pattern, "{example}");
                usages.push(*usage);
            }
        }
    }

    #[test]
    fn each_family_has_an_endpoint() {
        for family in Family::ALL {
            assert!(ENDPOINTS.iter().any(|endpoint| endpoint.family == family), "{family:?}");
        }
        assert!(ENDPOINTS.iter().all(|endpoint| Family::ALL.contains(&endpoint.family)));
    }
}
