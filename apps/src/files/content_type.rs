//! The media type of a file, by its name.

use std::borrow::Cow;

/// For unknown or missing extensions.
const UNKNOWN: &str = "application/octet-stream";

/// By the extension, in upper or lower case. Text is declared as UTF-8, the usual encoding of files; but not XML, which
/// declares its encoding itself.
pub fn content_type(path: &[u8]) -> Cow<'static, str> {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let extension = name.iter().rposition(|&b| b == b'.').and_then(|at| std::str::from_utf8(&name[at + 1..]).ok());
    match extension.and_then(|extension| mime_guess::from_ext(extension).first_raw()).unwrap_or(UNKNOWN) {
        // The most common types.
        "text/html" => "text/html; charset=utf-8".into(),
        "text/css" => "text/css; charset=utf-8".into(),
        "text/javascript" | "application/javascript" => "text/javascript; charset=utf-8".into(),
        "text/plain" => "text/plain; charset=utf-8".into(),
        "text/xml" => "text/xml".into(),
        text if text.starts_with("text/") => format!("{text}; charset=utf-8").into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_name() {
        for (path, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.CSS", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("notes.txt", "text/plain; charset=utf-8"),
            ("notes.md", "text/markdown; charset=utf-8"),
            ("feed.xml", "text/xml"),
            ("data.json", "application/json"),
            ("logo.svg", "image/svg+xml"),
            ("photo.jpeg", "image/jpeg"),
            ("font.woff2", "font/woff2"),
            ("app.wasm", "application/wasm"),
            ("site.tar.gz", "application/gzip"),
            ("app.css.br", UNKNOWN),
            ("README", UNKNOWN),
            ("a.d/README", UNKNOWN),
            ("trailing.", UNKNOWN),
            ("x.nosuchtype", UNKNOWN),
        ] {
            assert_eq!(content_type(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(content_type(b"a.\xff"), UNKNOWN);
    }
}
