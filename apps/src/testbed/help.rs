//! `/help`: one line per endpoint, from one table, as text or as HTML. A new endpoint needs a line under the heading of
//! its family.

use super::fault::FAULTS;
use super::{accept, help_page};
use tine_worker::app::Answer;
use tine_worker::http::{Request, Response, StatusCode};

/// Made once a worker and never freed.
pub struct Help {
    text: &'static str,
    page: &'static str,
}

impl Help {
    /// `has_faults`: whether the faults are enabled.
    pub fn new(has_faults: bool) -> Self {
        let families: Vec<&Family> =
            FAMILIES.iter().filter(|family| has_faults || family.heading != FAULTS_HEADING).collect();
        Help { text: text(&families).leak(), page: help_page::page(&families).leak() }
    }

    /// The page for clients that prefer HTML, such as browsers; text for clients with no preference, such as curl.
    pub fn answer(&self, request: &Request<'_>) -> Answer {
        let quality = |subkind| accept::quality(request.headers(), "text", subkind);
        let response = match quality("html") > quality("plain") {
            true => Response::new(StatusCode::OK).content_type("text/html; charset=utf-8").body(self.page),
            false => Response::text(StatusCode::OK, self.text),
        };
        response.header("Vary", "Accept").into()
    }
}

/// What a family of endpoints has in common, and its endpoints.
pub struct Family {
    pub heading: &'static str,
    pub endpoints: &'static [Endpoint],
}

pub struct Endpoint {
    /// Path and parameters: `{}` stands for a value, `[]` encloses what is optional.
    pub path: &'static str,
    /// A path that is worth following in a browser.
    pub example: &'static str,
    pub does: &'static str,
}

const fn line(path: &'static str, example: &'static str, does: &'static str) -> Endpoint {
    Endpoint { path, example, does }
}

const FAULTS_HEADING: &str = "Faults";
/// The faults have their own table, which also implements them.
const FAULT_LINES: [Endpoint; FAULTS.len()] = {
    let mut lines = [const { line("", "", "") }; FAULTS.len()];
    let mut i = 0;
    while i < FAULTS.len() {
        lines[i] = line(FAULTS[i].usage, FAULTS[i].example, FAULTS[i].does);
        i += 1;
    }
    lines
};

pub const FAMILIES: [Family; 5] = [
    Family {
        heading: "Basics",
        endpoints: &[
            line("/", "/any/path?x=y", "echo the request as JSON; so does every path not listed here"),
            line("/health", "/health", r#"{"status":"ok"}"#),
            line("/help", "/help", "this list; a page for a browser"),
            line(
                "/delay/{ms}[/{read ms}]",
                "/delay/300",
                "echo after ms; with a second number, read the body that slowly first",
            ),
            line(
                "/nousage[/wrongct|/badjson|/empty]",
                "/nousage",
                "an echo without token usage; or with a wrong type, truncated, empty",
            ),
            line("/status/{code}", "/status/404", "an echo with that status, 100 to 599; 1xx comes before a 200"),
            line("/upload", "/upload", "read and count the request body, however large"),
            line(
                "/mix?max=[&p50=&p99=&seed=&n=]",
                "/mix?p50=20&p99=200&max=1000",
                "a response after a delay from these quantiles (ms); the n-th of a seed is fixed",
            ),
            line("/anything[/...]", "/anything/at/all", "the echo by another name"),
            line("/ip", "/ip", "the address that the request came from"),
            line("/uuid", "/uuid", "a random UUID (version 4)"),
        ],
    },
    Family {
        heading: "Streams",
        endpoints: &[
            line(
                "/bin/{size}[?chunked=1]",
                "/bin/1M",
                "size bytes (512, 1K, 10M, 1G, ...), with Content-Length or chunked",
            ),
            line(
                "/chunked/{n}[?size=&delay=]",
                "/chunked/10?size=100&delay=300",
                "n chunks of size bytes (1024), delay ms (0) between them",
            ),
            line("/stream[/{MB}]", "/stream/1", "a chunked stream of 10 (or 1 to 1000) MB in small chunks"),
            line(
                "/sse[?count=&every=]",
                "/sse?count=5",
                "server-sent events, one every `every` ms (1000); endless without count",
            ),
            line(
                "/trickle/{bytes}[?every=]",
                "/trickle/20",
                "a body of a declared length, one byte every `every` ms (100)",
            ),
            line(
                "/random/{size}[?seed=&length=1]",
                "/random/100",
                "bytes that do not compress, and their SHA-256 in a trailer",
            ),
        ],
    },
    Family {
        heading: "Representations",
        endpoints: &[
            line("/headers/{n}[?size=]", "/headers/10?size=100", "n response headers with values of size bytes (16)"),
            line("/cookies/{n}", "/cookies/3", "set n cookies and list those that came"),
            line(
                "/redirect/{n}[?code=&absolute=1]",
                "/redirect/3",
                "n redirects (302) and then the echo; by path or by absolute URL",
            ),
            line("/range/{size}", "/range/1K", "the bytes of /bin/{size}, for range requests: one, several, If-Range"),
            line("/etag/{tag}[?weak=1]", "/etag/v1", "a representation with that entity tag, for conditional requests"),
            line("/gzip[?level=]", "/gzip", "the echo compressed with gzip, if Accept-Encoding allows it"),
            line("/brotli[?level=]", "/brotli", "the same with brotli"),
            line("/zstd[?level=]", "/zstd", "the same with zstd"),
        ],
    },
    Family { heading: FAULTS_HEADING, endpoints: &FAULT_LINES },
    Family {
        heading: "WebSocket",
        endpoints: &[
            line("/ws", "/help#live", "echo messages"),
            line("/ws/close", "/help#live", "answer one message and close"),
            line("/ws/ticker[?every=&count=]", "/help#live", "a message every `every` ms"),
        ],
    },
];

/// The description of a longer path begins further right.
const PATH_COLUMNS_MAX: usize = 34;

/// The list as plain text.
fn text(families: &[&Family]) -> String {
    let paths = families.iter().flat_map(|family| family.endpoints).map(|endpoint| endpoint.path.len());
    let width = paths.max().unwrap_or(0).min(PATH_COLUMNS_MAX);
    let mut text = String::from("Available endpoints:\n");
    for family in families {
        text.push_str(&format!("\n{}\n", family.heading));
        for endpoint in family.endpoints {
            text.push_str(&format!("  {:<width$}  {}\n", endpoint.path, endpoint.does));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_its_example_a_path() {
        let mut paths = Vec::new();
        for endpoint in FAMILIES.iter().flat_map(|family| family.endpoints) {
            let Endpoint { path, example, does } = *endpoint;
            assert!(path.starts_with('/') && example.starts_with('/') && !does.is_empty(), "{path}");
            assert!([path, example, does].iter().all(|text| !text.contains(['\r', '\n'])), "{path}");
            assert!(example.bytes().all(|b| b.is_ascii_graphic()), "{example} can be sent as it is");
            assert!(!paths.contains(&path), "{path} is there twice");
            paths.push(path);
        }
        assert!(paths.len() >= 7);
    }

    #[test]
    fn disabled_faults_are_not_listed() {
        for (has_faults, lists) in [(true, true), (false, false)] {
            let help = Help::new(has_faults);
            assert_eq!((help.text.contains("/fault/reset"), help.page.contains("/fault/reset")), (lists, lists));
            assert!(help.text.contains("/ws/close") && help.page.contains("/ws/close"));
        }
    }
}
