//! What clients see of an error with `--debug`: HTML for browsers, JSON or text for others.
//!
//! Everything in the page goes through [`escape`], and its policy allows nothing but its own style, so that nothing in it
//! would run. Credentials of the request are left out: the page may end up in a screenshot.

use super::error_report::{ErrorReport, Place};
use super::files::CodeFiles;
use crate::accept::quality;
use crate::html::escape;
use tine_common::sys::random;
use tine_worker::http::{Request, StatusCode};

const STYLE: &str = include_str!("debug_page.css");
/// Of an error's text.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Of one value of a header.
const VALUE_BYTES_MAX: usize = 2000;
/// Parts of names of headers whose values are credentials.
const CREDENTIALS: [&str; 9] =
    ["authorization", "cookie", "token", "secret", "password", "api-key", "apikey", "session", "signature"];
const LUA: &str = if cfg!(feature = "lua54") { "Lua 5.4" } else { "LuaJIT 2.1 (Lua 5.1)" };

/// What is kept of a request until it has failed, only with `--debug`.
#[derive(Debug, Clone)]
pub struct Asked {
    method: String,
    target: String,
    version: &'static str,
    fields: Vec<(String, String)>,
    form: Form,
}

/// What the client can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Html,
    Json,
    Text,
}

impl Asked {
    pub fn of(request: &Request<'_>) -> Asked {
        let headers = request.headers();
        let field = |(name, value): (&str, &[u8])| {
            let value = match is_credential(name) {
                true => "(not shown)".into(),
                false => cut(&String::from_utf8_lossy(value), VALUE_BYTES_MAX).to_string(),
            };
            (name.to_string(), value)
        };
        let weight = |kind, subkind| quality(headers, kind, subkind);
        let (html, json, text) = (weight("text", "html"), weight("application", "json"), weight("text", "plain"));
        // A tie is a client that takes anything, such as curl.
        let form = match () {
            () if html > text && html >= json => Form::Html,
            () if json > text => Form::Json,
            () => Form::Text,
        };
        Asked {
            method: request.method().to_string(),
            target: request.target().to_string(),
            version: request.version().as_str(),
            fields: headers.iter().map(field).collect(),
            form,
        }
    }

    pub fn form(&self) -> Form {
        self.form
    }
}

fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIALS.iter().any(|word| name.contains(word))
}

/// An error as it is shown.
pub struct Shown<'a> {
    pub status: StatusCode,
    /// What has happened, in a few words.
    pub what: &'a str,
    /// The error's message and traceback.
    pub text: &'a str,
    pub code: &'a CodeFiles,
    pub asked: &'a Asked,
    /// What the developer can do about it.
    pub hint: &'a str,
}

/// A whole page, and its Content-Security-Policy.
pub fn html(shown: &Shown<'_>) -> (String, String) {
    let text = cut(shown.text, TEXT_BYTES_MAX);
    let report = ErrorReport::of(text, shown.code);
    // Without randomness the style has no effect, and the page can be read nevertheless.
    let nonce = random::bytes().map_or(0, u64::from_le_bytes);
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce:016x}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let message = report.message.strip_prefix("./").unwrap_or(report.message);
    let (title, more) = message.split_once('\n').unwrap_or((message, ""));
    let more = match more.trim() {
        "" => String::new(),
        _ => format!("<pre class=\"text\">{}</pre>\n", escape(more.trim_end())),
    };
    let page = [
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}: {}</title>\n\
             <style nonce=\"{nonce:016x}\">\n{STYLE}</style>\n</head>\n<body>\n",
            shown.status.as_u16(),
            escape(title),
        ),
        format!(
            "<header>\n<p>{}: {}</p>\n<h1>{}</h1>\n</header>\n{more}",
            shown.status,
            escape(shown.what),
            escape(title)
        ),
        report.place.as_ref().map_or(String::new(), place),
        frames(&report),
        request(shown.asked),
        format!(
            "<footer>{} · {LUA} · tine {}</footer>\n</body>\n</html>\n",
            escape(shown.hint),
            env!("CARGO_PKG_VERSION")
        ),
    ];
    (page.concat(), policy)
}

/// The same for programs.
pub fn json(shown: &Shown<'_>) -> String {
    let text = cut(shown.text, TEXT_BYTES_MAX);
    let report = ErrorReport::of(text, shown.code);
    let traceback: Vec<&str> = report.frames.iter().map(|frame| frame.text).collect();
    let place = report.place.map(|place| serde_json::json!({ "file": place.name, "line": place.line }));
    let value = serde_json::json!({
        "status": shown.status.as_u16(),
        "error": shown.what,
        "message": report.message,
        "place": place,
        "traceback": traceback,
    });
    format!("{value}\n")
}

/// The same for terminals.
pub fn text(shown: &Shown<'_>) -> String {
    let text = cut(shown.text, TEXT_BYTES_MAX);
    let report = ErrorReport::of(text, shown.code);
    let mut page = format!("{}: {}\n\n{text}\n", shown.status, shown.what);
    if let Some(place) = report.place.filter(|place| !place.excerpt.is_empty()) {
        page.push_str(&format!("\n{}:\n", place.name));
        for (at, line) in &place.excerpt {
            let mark = if *at == place.line { '>' } else { ' ' };
            page.push_str(&format!("{mark} {at:>5}  {line}\n"));
        }
    }
    page
}

fn place(place: &Place) -> String {
    format!("<h2>{}, line {}</h2>\n{}", escape(&place.name), place.line, source(place))
}

fn source(place: &Place) -> String {
    if place.excerpt.is_empty() {
        return String::new();
    }
    let line = |(at, text): &(usize, String)| {
        let class = if *at == place.line { " class=\"here\"" } else { "" };
        format!("<span{class}><b>{at}</b>{}</span>", escape(text))
    };
    let lines: String = place.excerpt.iter().map(line).collect();
    format!("<pre class=\"source\">{lines}</pre>\n")
}

/// Those of the app's code can be opened; the first one is, unless it is the place that is shown already.
fn frames(report: &ErrorReport<'_>) -> String {
    if report.frames.is_empty() {
        return String::new();
    }
    let shown = report.place.as_ref().map(|place| (place.name.as_str(), place.line));
    let mut is_first = true;
    let frame = |text: &str, place: Option<&Place>| match place.filter(|place| !place.excerpt.is_empty()) {
        None => format!("<li><code>{}</code></li>\n", escape(text)),
        Some(place) => {
            let opens = std::mem::take(&mut is_first) && shown != Some((place.name.as_str(), place.line));
            let open = if opens { " open" } else { "" };
            format!("<li><details{open}><summary>{}</summary>\n{}</details></li>\n", escape(text), source(place))
        }
    };
    let mut frame = frame;
    let items: String = report.frames.iter().map(|one| frame(one.text, one.place.as_ref())).collect();
    format!("<h2>Traceback</h2>\n<ol>\n{items}</ol>\n")
}

fn request(asked: &Asked) -> String {
    let row = |(name, value): &(String, String)| {
        let value = match is_credential(name) {
            true => format!("<i>{}</i>", escape(value)),
            false => escape(value),
        };
        format!("<tr><td>{}</td><td>{value}</td></tr>\n", escape(name))
    };
    let rows: String = asked.fields.iter().map(row).collect();
    format!(
        "<h2>Request</h2>\n<pre class=\"text\">{} {} {}</pre>\n<table>\n{rows}</table>\n",
        escape(&asked.method),
        escape(&asked.target),
        asked.version
    )
}

/// The beginning of a text, in whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_their_names() {
        for name in
            ["Authorization", "proxy-authorization", "Cookie", "X-Api-Key", "X-CSRF-Token", "X-Amz-Security-Token"]
        {
            assert!(is_credential(name), "{name}");
        }
        for name in ["Host", "User-Agent", "Accept", "Content-Type"] {
            assert!(!is_credential(name), "{name}");
        }
    }

    #[test]
    fn nothing_in_the_page_is_markup_of_others() {
        let asked = Asked {
            method: "<b>".to_string(),
            target: "/<script>".to_string(),
            version: "HTTP/1.1",
            fields: vec![("x\"<".to_string(), "'<img>".to_string())],
            form: Form::Html,
        };
        let text = "<script>alert(1)</script>\nstack traceback:\n\t<i>x:1: in";
        let shown = Shown {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            what: "<u>",
            text,
            code: &CodeFiles::default(),
            asked: &asked,
            hint: "<s>",
        };
        let (page, policy) = html(&shown);
        let body = page.split_once("</style>").expect("a style").1;
        for tag in ["<script", "<b>&", "<img", "<i>x", "<u>", "<s>", "x\"<"] {
            assert!(!body.contains(tag), "{tag}\n{body}");
        }
        assert!(policy.starts_with("default-src 'none'; style-src 'nonce-"), "{policy}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json(&shown)).expect("JSON")["traceback"][0],
            "<i>x:1: in"
        );
    }
}
