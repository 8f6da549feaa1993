//! Tables of preconditions, by the sections of RFC 9110.

use super::*;
use Precondition::{Failed, Holds, NotModified};
use proptest::prelude::*;

const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn validators<'a>(etag: Option<EntityTag<'a>>, date: Option<&str>) -> Validators<'a> {
    let last_modified = date.map(|date| HttpDate::parse(date.as_bytes()).expect("a date"));
    Validators { etag, last_modified, last_modified_is_strong: true }
}

fn fields<'a>(lines: &[(&'a str, &'a str)]) -> Vec<httparse::Header<'a>> {
    lines.iter().map(|&(name, value)| httparse::Header { name, value: value.as_bytes() }).collect()
}

#[track_caller]
fn check(method: &str, lines: &[(&str, &str)], current: Validators<'_>, expected: Precondition) {
    let fields = fields(lines);
    assert_eq!(evaluate(method, Headers::new(&fields), current), expected, "{method} {lines:?} of {current:?}");
}

const STRONG: EntityTag<'_> = EntityTag { is_weak: false, opaque: b"a" };
const WEAK: EntityTag<'_> = EntityTag { is_weak: true, opaque: b"a" };

/// 13.1.1: `*`, or one of the list by the strong comparison.
#[test]
fn if_match() {
    for (value, etag, holds) in [
        ("\"a\"", Some(STRONG), true),
        ("\"b\"", Some(STRONG), false),
        ("\"A\"", Some(STRONG), false),
        ("\"b\", \"a\"", Some(STRONG), true),
        ("\"b\",\"a\",\"c\"", Some(STRONG), true),
        (" , ,\"b\" ,\t, \"a\" ,", Some(STRONG), true),
        ("W/\"a\"", Some(STRONG), false),
        ("W/\"a\", \"a\"", Some(STRONG), true),
        ("\"a\"", Some(WEAK), false),
        ("W/\"a\"", Some(WEAK), false),
        ("\"a\"", None, false),
        ("*", Some(STRONG), true),
        ("*", Some(WEAK), true),
        ("*", None, true),
        // Malformed: it matches nothing, and what precedes it counts.
        ("", Some(STRONG), false),
        ("a", Some(STRONG), false),
        ("\"a", Some(STRONG), false),
        ("a\"", Some(STRONG), false),
        ("w/\"a\"", Some(STRONG), false),
        ("W/ \"a\"", Some(STRONG), false),
        ("\"a\"b", Some(STRONG), false),
        ("\"a\"\"a\"", Some(STRONG), false),
        ("\"a\" \"b\"", Some(STRONG), false),
        ("x, \"a\"", Some(STRONG), false),
        ("*, \"a\"", Some(STRONG), false),
        ("**", Some(STRONG), false),
        ("\"a\", x", Some(STRONG), true),
        // A comma in a tag does not end it.
        ("\"b, \"a\"", Some(STRONG), false),
        ("\"b,\", \"a\"", Some(STRONG), true),
    ] {
        let expected = if holds { Holds } else { Failed };
        for method in ["GET", "HEAD", "PUT", "DELETE", "POST", "X"] {
            check(method, &[("If-Match", value)], validators(etag, None), expected);
        }
    }
}

/// 13.1.2: neither `*`, nor any of the list by the weak comparison. 304 for GET and HEAD, 412 for the others.
#[test]
fn if_none_match() {
    for (value, etag, is_known) in [
        ("\"a\"", Some(STRONG), true),
        ("W/\"a\"", Some(STRONG), true),
        ("\"a\"", Some(WEAK), true),
        ("W/\"a\"", Some(WEAK), true),
        ("\"b\", W/\"a\", \"c\"", Some(STRONG), true),
        ("\"b\"", Some(STRONG), false),
        ("W/\"b\"", Some(WEAK), false),
        ("\"a\"", None, false),
        ("*", Some(STRONG), true),
        ("*", None, true),
        ("a", Some(STRONG), false),
        ("\"*\"", Some(STRONG), false),
        ("", Some(STRONG), false),
    ] {
        let current = validators(etag, Some(AT));
        for (method, known) in [("GET", NotModified), ("HEAD", NotModified), ("PUT", Failed), ("POST", Failed)] {
            check(method, &[("if-none-match", value)], current, if is_known { known } else { Holds });
        }
    }
}

/// 5.3: a list may be split over several fields.
#[test]
fn lists_in_several_fields() {
    let current = validators(Some(STRONG), None);
    check("GET", &[("If-Match", "\"b\""), ("IF-MATCH", "\"c\", \"a\"")], current, Holds);
    check("GET", &[("If-None-Match", "\"b\""), ("X", "y"), ("If-None-Match", "\"a\"")], current, NotModified);
    // With anything beside it, `*` is no longer the whole value.
    check("GET", &[("If-Match", "*"), ("If-Match", "\"b\"")], current, Failed);
    check("GET", &[("If-None-Match", "\"b\""), ("If-None-Match", "*")], current, Holds);
}

/// 13.1.3: only for GET and HEAD; ignored without a valid date or without a date of the representation.
#[test]
fn if_modified_since() {
    for (value, date, expected) in [
        (AT, Some(AT), NotModified),
        (AFTER, Some(AT), NotModified),
        (BEFORE, Some(AT), Holds),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(AT), NotModified),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(AT), NotModified),
        ("Sun Nov  6 08:49:37 1994", Some(AT), NotModified),
        (AT, None, Holds),
        ("yesterday", Some(AT), Holds),
        ("", Some(AT), Holds),
        ("0", Some(AT), Holds),
    ] {
        let lines = [("If-Modified-Since", value)];
        check("GET", &lines, validators(Some(STRONG), date), expected);
        check("HEAD", &lines, validators(None, date), expected);
        check("PUT", &lines, validators(None, date), Holds);
    }
    check("GET", &[("If-Modified-Since", AT), ("If-Modified-Since", AT)], validators(None, Some(AT)), Holds);
}

/// 13.1.4: for any method; ignored without a valid date or without a date of the representation.
#[test]
fn if_unmodified_since() {
    for (value, date, expected) in [
        (AT, Some(AT), Holds),
        (AFTER, Some(AT), Holds),
        (BEFORE, Some(AT), Failed),
        ("Sunday, 06-Nov-94 08:49:36 GMT", Some(AT), Failed),
        (BEFORE, None, Holds),
        ("yesterday", Some(AT), Holds),
        ("", Some(AT), Holds),
    ] {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            check(method, &[("If-Unmodified-Since", value)], validators(None, date), expected);
        }
    }
    let twice = [("If-Unmodified-Since", BEFORE), ("If-Unmodified-Since", BEFORE)];
    check("PUT", &twice, validators(None, Some(AT)), Holds);
}

/// 13.2.2, in order: tags take precedence over dates, "match" over "none match".
#[test]
fn the_order_of_evaluation() {
    let current = validators(Some(STRONG), Some(AT));
    for (lines, get, put) in [
        // 1. and 2.: If-Unmodified-Since is ignored where If-Match is.
        (vec![("If-Match", "\"a\""), ("If-Unmodified-Since", BEFORE)], Holds, Holds),
        (vec![("If-Match", "\"b\""), ("If-Unmodified-Since", AFTER)], Failed, Failed),
        // 1. before 3.
        (vec![("If-None-Match", "\"a\""), ("If-Match", "\"b\"")], Failed, Failed),
        (vec![("If-None-Match", "\"a\""), ("If-Match", "\"a\"")], NotModified, Failed),
        // 2. before 3. and 4.
        (vec![("If-None-Match", "\"a\""), ("If-Unmodified-Since", BEFORE)], Failed, Failed),
        (vec![("If-Modified-Since", AT), ("If-Unmodified-Since", BEFORE)], Failed, Failed),
        (vec![("If-Modified-Since", AT), ("If-Unmodified-Since", AT)], NotModified, Holds),
        // 3. and 4.: If-Modified-Since is ignored where If-None-Match is, whatever its value.
        (vec![("If-Modified-Since", BEFORE), ("If-None-Match", "\"a\"")], NotModified, Failed),
        (vec![("If-Modified-Since", AFTER), ("If-None-Match", "\"b\"")], Holds, Holds),
        (vec![("If-Modified-Since", AFTER), ("If-None-Match", "junk")], Holds, Holds),
        // All together.
        (
            vec![
                ("If-Match", "*"),
                ("If-Unmodified-Since", BEFORE),
                ("If-None-Match", "\"b\""),
                ("If-Modified-Since", AFTER),
            ],
            Holds,
            Holds,
        ),
        (vec![], Holds, Holds),
    ] {
        check("GET", &lines, current, get);
        check("HEAD", &lines, current, get);
        check("PUT", &lines, current, put);
    }
}

/// 13.2.1: methods that select no representation have no preconditions.
#[test]
fn methods_without_preconditions() {
    for method in ["CONNECT", "OPTIONS", "TRACE"] {
        check(method, &[("If-Match", "\"b\"")], validators(Some(STRONG), Some(AT)), Holds);
        check(method, &[("If-None-Match", "*")], validators(Some(STRONG), Some(AT)), Holds);
    }
}

/// 13.1.5: a tag by the strong comparison, or exactly the date, if that is a strong validator.
#[test]
fn if_range() {
    for (value, etag, date, holds) in [
        ("\"a\"", Some(STRONG), Some(AT), true),
        ("\"b\"", Some(STRONG), Some(AT), false),
        ("W/\"a\"", Some(STRONG), Some(AT), false),
        ("\"a\"", Some(WEAK), Some(AT), false),
        ("W/\"a\"", Some(WEAK), Some(AT), false),
        ("\"a\"", None, Some(AT), false),
        ("\"a\", \"b\"", Some(STRONG), Some(AT), false),
        ("*", Some(STRONG), Some(AT), false),
        ("\"a", Some(STRONG), Some(AT), false),
        (AT, Some(STRONG), Some(AT), true),
        ("Sun Nov  6 08:49:37 1994", Some(STRONG), Some(AT), true),
        (BEFORE, Some(STRONG), Some(AT), false),
        (AFTER, Some(STRONG), Some(AT), false),
        (AT, Some(STRONG), None, false),
        ("junk", Some(STRONG), None, false),
        ("", Some(STRONG), None, false),
    ] {
        let fields = fields(&[("If-Range", value)]);
        let current = validators(etag, date);
        assert_eq!(if_range_holds(Headers::new(&fields), current), holds, "{value} of {current:?}");
        let current = Validators { last_modified_is_strong: false, ..current };
        let is_tag = value.contains('"');
        assert_eq!(if_range_holds(Headers::new(&fields), current), holds && is_tag, "{value} of {current:?}");
    }
    assert!(if_range_holds(Headers::new(&[]), validators(None, None)));
}

/// 8.8.3: what is allowed between the quotes.
#[test]
fn entity_tags() {
    for (opaque, is_tag) in [
        ("", true),
        ("a", true),
        ("!#[]~é", true),
        ("a/b,c", true),
        ("a b", false),
        ("a\"", false),
        ("\n", false),
        ("\x7f", false),
    ] {
        assert_eq!(EntityTag::new(opaque, false).is_some(), is_tag, "{opaque}");
        for is_weak in [false, true] {
            let Some(tag) = EntityTag::new(opaque, is_weak) else { continue };
            let text = tag.to_string();
            assert_eq!(text, format!("{}\"{opaque}\"", if is_weak { "W/" } else { "" }));
            assert_eq!(EntityTag::parse(text.as_bytes()), Some(tag));
        }
    }
}

/// 8.8.3.2, the table of the RFC.
#[test]
fn the_two_comparisons() {
    for (one, other, strongly, weakly) in [
        ("W/\"1\"", "W/\"1\"", false, true),
        ("W/\"1\"", "W/\"2\"", false, false),
        ("W/\"1\"", "\"1\"", false, true),
        ("\"1\"", "\"1\"", true, true),
    ] {
        let [one, other] = [one, other].map(|tag| EntityTag::parse(tag.as_bytes()).expect("a tag"));
        for (one, other) in [(one, other), (other, one)] {
            assert_eq!((one.is_strongly(other), one.is_weakly(other)), (strongly, weakly), "{one} {other}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a list contains: no panic, and a tag among well-formed ones is found.
    #[test]
    fn a_tag_is_found_among_others(junk in "[\"W/a, *]{0,12}", before in proptest::collection::vec("(W/)?\"[b,/*]{0,3}\"", 0..4)) {
        let current = validators(Some(STRONG), None);
        let value = [before.join(", "), "\"a\"".into(), junk.clone()].join(",");
        let lines = [("If-None-Match", value.as_str())];
        prop_assert_eq!(evaluate("GET", Headers::new(&fields(&lines)), current), NotModified, "{}", value);
        let fields = fields(&[("If-Match", junk.as_str())]);
        prop_assert_eq!(evaluate("GET", Headers::new(&fields), current) == NotModified, false);
    }
}
