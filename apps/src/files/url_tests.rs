//! Paths as clients send them, and the files that they name.

use super::WrongPath::{Malformed, NoFile};
use super::*;

#[test]
fn a_prefix_is_whole_segments_of_the_path_as_it_was_sent() {
    for (prefix, path, rest) in [
        ("/", "/", Some("/")),
        ("/", "/a/b", Some("/a/b")),
        ("/", "*", Some("*")),
        ("/static", "/static", Some("")),
        ("/static", "/static/", Some("/")),
        ("/static/", "/static/a%20b", Some("/a%20b")),
        ("/static", "/%73tat%69c/a", Some("/a")),
        ("/static", "/static/../x", Some("/../x")),
        ("/static", "/static//x", Some("//x")),
        ("/static", "/staticx", None),
        ("/static", "/stati", None),
        ("/static", "/STATIC/x", None),
        ("/static", "//static/x", None),
        ("/static", "/./static/x", None),
        ("/static", "/x/../static/x", None),
        ("/static", "/static%2Fx", None),
        ("/static", "/static%zz", None),
        ("/static", "/", None),
        ("/static", "*", None),
        ("/a/b%20c", "/a/b%20c/d", Some("/d")),
        ("/a/b%20c", "/a/b", None),
        ("/a/b%20c", "/a", None),
        ("/.well-known", "/.well-known/x", Some("/x")),
    ] {
        assert_eq!(prefix.parse::<UrlPrefix>().unwrap().strip(path), rest, "{prefix} of {path}");
    }
}

#[test]
fn a_prefix_is_written_as_a_path() {
    for (text, shown) in [("/", "/"), ("/static", "/static"), ("/a/b/", "/a/b"), ("/%73 %5c", ""), ("/%73%5c", "/s%5C")]
    {
        let shown = Some(shown.to_string()).filter(|shown| !shown.is_empty());
        assert_eq!(text.parse::<UrlPrefix>().ok().map(|prefix| prefix.to_string()), shown, "{text}");
    }
    for text in
        ["", "static", "//", "/a//b", "//a", "/a/../b", "/.", "/%2e%2e", "/a?b", "/a#b", "/a%2Fb", "/%00", "/%4"]
    {
        assert!(text.parse::<UrlPrefix>().is_err(), "{text}");
    }
}

#[test]
fn a_path_names_a_file_a_directory_or_nothing() {
    let file = |bytes: &[u8]| Ok(FilePath { bytes: bytes.to_vec(), is_directory: false });
    let directory = |bytes: &[u8]| Ok(FilePath { bytes: bytes.to_vec(), is_directory: true });
    for (rest, expected) in [
        ("", file(b"")),
        ("/", directory(b"")),
        ("/a", file(b"a")),
        ("/a/b.c", file(b"a/b.c")),
        ("/a/b/", directory(b"a/b")),
        ("/%61%2eb", file(b"a.b")),
        ("/%ff%C3%A4", file(b"\xff\xc3\xa4")),
        ("/a%20b+c", file(b"a b+c")),
        ("/a\\..\\b", file(b"a\\..\\b")),
        ("/..a", Err(NoFile)),
        ("/a..", file(b"a..")),
        ("/%", Err(Malformed)),
        ("/a%4", Err(Malformed)),
        ("/%g1", Err(Malformed)),
        ("/%+1", Err(Malformed)),
        ("/../%", Err(Malformed)),
        ("/a%00b", Err(NoFile)),
        ("/a%2Fb", Err(NoFile)),
        ("/a%2fb", Err(NoFile)),
        ("/.", Err(NoFile)),
        ("/..", Err(NoFile)),
        ("/../x", Err(NoFile)),
        ("/a/../b", Err(NoFile)),
        ("/%2e%2e/x", Err(NoFile)),
        ("/%2E%2e%2fx", Err(NoFile)),
        ("/a/./b", Err(NoFile)),
        ("//", Err(NoFile)),
        ("//etc/passwd", Err(NoFile)),
        ("/a//b", Err(NoFile)),
        ("/a//", Err(NoFile)),
        ("/.git/config", Err(NoFile)),
        ("/a/.htaccess", Err(NoFile)),
        ("/.well-known/x", file(b".well-known/x")),
        ("/.well-known/.x", Err(NoFile)),
        ("/a/.well-known/x", Err(NoFile)),
        ("*", Err(NoFile)),
    ] {
        assert_eq!(FilePath::parse(rest), expected, "{rest}");
    }
}

#[test]
fn an_encoded_path_never_names_another_host_or_query() {
    let encoded = |bytes: &[u8]| FilePath { bytes: bytes.to_vec(), is_directory: false }.encoded();
    assert_eq!(encoded(b"a b/c"), "/a%20b/c");
    assert_eq!(encoded(b"\\evil.example"), "/%5Cevil.example", "which browsers would take for a host");
    assert_eq!(encoded(b"a?b#c%\r\n\xff"), "/a%3Fb%23c%25%0D%0A%FF");
    assert_eq!(encoded(b""), "");
}
