//! What fields come to, as tables; and that nothing in them is too odd.

use super::node::address;
use super::*;
use proptest::prelude::*;
use tine_common::config::{ForwardedHeader, TrustedProxy};

fn config(header: &str) -> ProxyConfig {
    let trusted = ["10.0.0.0/8", "fd00::/8", "unix:"].map(|text| text.parse::<TrustedProxy>().expect("valid"));
    ProxyConfig { trusted: trusted.into(), header: header.parse::<ForwardedHeader>().expect("valid") }
}

/// `address scheme host` of a request with these fields, from `10.0.0.1:9` over plain HTTP; `None`: nothing counts.
fn come_to(header: &str, fields: &[(&str, &str)]) -> Option<String> {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
    let proxies = Proxies::of(&config(header), false).expect("some are trusted");
    let connection = proxies.of_connection("10.0.0.1:9".parse().ok(), false).expect("it is trusted");
    let caller = proxies.of_request(Headers::new(&fields), &connection)?;
    let client = caller.client().expect("an address");
    let scheme = if caller.is_https() { "https" } else { "http" };
    Some(format!("{client} {scheme} {}", caller.host().unwrap_or("-")))
}

#[track_caller]
fn table(header: &str, rows: &[(&[(&str, &str)], &str)]) {
    for (fields, expected) in rows {
        let expected = Some(*expected).filter(|expected| !expected.is_empty()).map(str::to_string);
        assert_eq!(come_to(header, fields), expected, "{fields:?}");
    }
}

#[test]
fn x_forwarded_is_read_from_the_right() {
    table(
        "any",
        &[
            (&[], ""),
            (&[("Host", "t"), ("X-Forwarded-Foo", "192.0.2.1"), ("X_Forwarded_For", "192.0.2.1")], ""),
            (&[("X-Forwarded-For", "192.0.2.1")], "192.0.2.1:0 http -"),
            (&[("x-forwarded-for", "192.0.2.1:70")], "192.0.2.1:70 http -"),
            (&[("X-Forwarded-For", "6.6.6.6, 192.0.2.1")], "192.0.2.1:0 http -"),
            (&[("X-Forwarded-For", "6.6.6.6, 192.0.2.1,10.0.0.3 , 10.0.0.2")], "192.0.2.1:0 http -"),
            (&[("X-Forwarded-For", "6.6.6.6, 192.0.2.1"), ("X-Forwarded-For", "10.0.0.2")], "192.0.2.1:0 http -"),
            (&[("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "192.0.2.1")], "192.0.2.1:0 http -"),
            (&[("X-Forwarded-For", "10.0.0.3, 10.0.0.2")], "10.0.0.3:0 http -"),
            (&[("X-Forwarded-For", "2001:db8::1, fd00::2")], "[2001:db8::1]:0 http -"),
            (&[("X-Forwarded-For", "[2001:db8::1]:80")], "[2001:db8::1]:80 http -"),
            // Anything but an address ends the search.
            (&[("X-Forwarded-For", "192.0.2.1, unknown, 10.0.0.2")], "10.0.0.2:0 http -"),
            (&[("X-Forwarded-For", "192.0.2.1, evil")], "10.0.0.1:9 http -"),
            (&[("X-Forwarded-For", "")], "10.0.0.1:9 http -"),
            (&[("X-Forwarded-For", "192.0.2.1, ,")], "192.0.2.1:0 http -"),
            (&[("X-Forwarded-Proto", "https")], "10.0.0.1:9 https -"),
            (&[("X-Forwarded-Proto", "WSS")], "10.0.0.1:9 https -"),
            (&[("X-Forwarded-Proto", "https, http")], "10.0.0.1:9 http -"),
            (&[("X-Forwarded-Proto", "gopher")], "10.0.0.1:9 http -"),
            (&[("X-Forwarded-Host", "evil.test, a.test:8443")], "10.0.0.1:9 http a.test:8443"),
            (&[("X-Forwarded-Host", "a b")], "10.0.0.1:9 http -"),
            (&[("X-Forwarded-Host", "a.test/x")], "10.0.0.1:9 http -"),
            (&[("X-Forwarded-Host", "[::1]:80")], "10.0.0.1:9 http [::1]:80"),
            (&[("X-Real-IP", " 192.0.2.7 "), ("X-Forwarded-Proto", "https")], "192.0.2.7:0 https -"),
            (&[("X-Real-IP", "192.0.2.7"), ("X-Forwarded-For", "192.0.2.1")], "192.0.2.1:0 http -"),
            // What passes through a proxy untouched does not count beside what it has written.
            (
                &[("Forwarded", "for=6.6.6.6;proto=https;host=evil.test"), ("X-Forwarded-For", "192.0.2.1")],
                "192.0.2.1:0 http -",
            ),
        ],
    );
    table(
        "x-forwarded-for",
        &[(&[("X-Real-IP", "192.0.2.7")], "10.0.0.1:9 http -"), (&[("Forwarded", "for=192.0.2.7")], "")],
    );
    table(
        "x-real-ip",
        &[
            (&[("X-Real-IP", "192.0.2.7"), ("X-Forwarded-For", "6.6.6.6")], "192.0.2.7:0 http -"),
            (&[("X-Forwarded-For", "6.6.6.6")], "10.0.0.1:9 http -"),
        ],
    );
}

#[test]
fn forwarded_is_read_from_the_right() {
    let forwarded = |value: &'static str| [("Forwarded", value)];
    for (value, expected) in [
        ("for=192.0.2.1", "192.0.2.1:0 http -"),
        ("For=\"192.0.2.1:70\";Proto=HTTPS;Host=\"a.test:1\";by=10.0.0.1", "192.0.2.1:70 https a.test:1"),
        ("for=\"[2001:db8::1]:_hidden\"", "[2001:db8::1]:0 http -"),
        (
            "for=6.6.6.6;host=evil, for=192.0.2.1;host=a.test, for=10.0.0.2;host=b.test;proto=https",
            "192.0.2.1:0 http a.test",
        ),
        ("for=192.0.2.1 , , for=10.0.0.2", "192.0.2.1:0 http -"),
        // The client is hidden: the proxy that knows it is all that is known.
        ("for=6.6.6.6, for=_hidden;proto=https", "10.0.0.1:9 https -"),
        ("for=unknown", "10.0.0.1:9 http -"),
        ("for=6.6.6.6, proto=https", "10.0.0.1:9 https -"),
        ("for=6.6.6.6, by=10.0.0.7", "10.0.0.1:9 http -"),
        // A quote that a client leaves open, and other things that end the search.
        ("for=\", for=192.0.2.1", "192.0.2.1:0 http -"),
        ("for=\"x\\\", for=192.0.2.1;by=\"y\"", "192.0.2.1:0 http -"),
        ("for=6.6.6.6, for=192.0.2.1;ext=\"a\\\", for=6.6.6.6;\"", "192.0.2.1:0 http -"),
        ("for=6.6.6.6, for=192.0.2.1;for=192.0.2.2", "10.0.0.1:9 http -"),
        ("for=6.6.6.6, for=192.0.2.1;nonsense", "10.0.0.1:9 http -"),
        ("for=6.6.6.6, garbage, for=10.0.0.2;proto=https", "10.0.0.2:0 https -"),
        ("for=\"192.0.2.1\\\"", "10.0.0.1:9 http -"),
        ("\"", "10.0.0.1:9 http -"),
        (";;,=,", "10.0.0.1:9 http -"),
    ] {
        table("any", &[(&forwarded(value), expected)]);
    }
    let both = [("Forwarded", "for=192.0.2.1"), ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https")];
    table("forwarded", &[(&both, "192.0.2.1:0 http -"), (&both[1..], "")]);
    let two = |first, second| [("Forwarded", first), ("Forwarded", second)];
    table("any", &[(&two("for=192.0.2.1", "for=10.0.0.2"), "192.0.2.1:0 http -")]);
    table("any", &[(&two("for=6.6.6.6", "for=192.0.2.1"), "192.0.2.1:0 http -")]);
}

#[test]
fn only_so_many_hops_are_passed() {
    let hops = |count: usize| format!("192.0.2.1{}", ", 10.0.0.2".repeat(count));
    assert_eq!(come_to("any", &[("X-Forwarded-For", &hops(63))]).as_deref(), Some("192.0.2.1:0 http -"));
    assert_eq!(come_to("any", &[("X-Forwarded-For", &hops(5000))]).as_deref(), Some("10.0.0.2:0 http -"));
    let hops = |count: usize| format!("for=192.0.2.1{}", ", for=10.0.0.2".repeat(count));
    assert_eq!(come_to("any", &[("Forwarded", &hops(63))]).as_deref(), Some("192.0.2.1:0 http -"));
    assert_eq!(come_to("any", &[("Forwarded", &hops(5000))]).as_deref(), Some("10.0.0.2:0 http -"));
}

#[test]
fn addresses_are_those_of_proxies() {
    for (text, expected) in [
        ("192.0.2.1", "192.0.2.1:0"),
        ("192.0.2.1:65535", "192.0.2.1:65535"),
        ("192.0.2.1:_x.-", "192.0.2.1:0"),
        ("::1", "[::1]:0"),
        ("[::1]", "[::1]:0"),
        ("::ffff:192.0.2.1", "192.0.2.1:0"),
        ("[::ffff:192.0.2.1]:1", "192.0.2.1:1"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:0"),
    ] {
        assert_eq!(address(text.as_bytes()), expected.parse().ok(), "{text}");
    }
    for text in [
        "",
        "unknown",
        "_hidden",
        "a.test",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:+1",
        "192.0.2.1:_",
        "192.0.2",
        "01.2.3.4",
        "[::1",
        "::1]",
        "[192.0.2.1]",
        "[::1]80",
        "[::1]:x",
        "fe80::1%eth0",
        "[fe80::1%1]:80",
        " 192.0.2.1",
        "\u{661}.2.3.4",
    ] {
        assert_eq!(address(text.as_bytes()), None, "{text}");
    }
    assert_eq!(address(b"\xff"), None);
    assert_eq!(address(&[b'1'; 5000]), None);
}

#[test]
fn a_header_makes_the_client_the_peer() {
    let proxies = Proxies::of(&config("any"), true).expect("asked");
    let peer = "192.0.2.99:1".parse().ok();
    let address = |text: &str| text.parse().expect("an address");
    let known = |client: &str| Announced {
        ends: Ends::Known { client: address(client), local: address("198.51.100.1:443") },
        ..Announced::default()
    };
    let of = |announced| proxies.of_announced(announced, peer, false);
    let caller = of(known("192.0.2.1:5"));
    assert_eq!(
        (caller.client(), caller.local(), caller.is_proxy()),
        (Some(address("192.0.2.1:5")), Some(address("198.51.100.1:443")), false)
    );
    // A trusted proxy before the one that announces it.
    assert!(of(known("10.0.0.7:5")).is_proxy());
    let own = of(Announced::default());
    assert_eq!((own.client(), own.local(), own.is_proxy()), (peer, None, false));
    let unix = of(Announced { ends: Ends::Unix, ..Announced::default() });
    assert_eq!((unix.client(), unix.is_proxy()), (None, false));
    assert!(
        !proxies.may_announce(peer) && proxies.may_announce(None) && proxies.may_announce("10.1.1.1:1".parse().ok())
    );
}

#[test]
fn if_all_are_trusted_those_are_that_connect() {
    let all = ProxyConfig { trusted: vec![TrustedProxy::Any], ..ProxyConfig::default() };
    let proxies = Proxies::of(&all, true).expect("asked");
    let peer = "192.0.2.99:1".parse().ok();
    let connection = proxies.of_connection(peer, false).expect("it is trusted");
    for (name, value) in [("X-Forwarded-For", "6.6.6.6, 192.0.2.1"), ("Forwarded", "for=6.6.6.6, for=192.0.2.1")] {
        let fields = [httparse::Header { name, value: value.as_bytes() }];
        let caller = proxies.of_request(Headers::new(&fields), &connection).expect("it counts");
        assert_eq!(caller.client(), "192.0.2.1:0".parse().ok(), "{name}");
    }
    let ends = Ends::Known { client: peer.expect("an address"), local: peer.expect("an address") };
    assert!(!proxies.of_announced(Announced { ends, ..Announced::default() }, peer, false).is_proxy());
    assert!(proxies.of_announced(Announced::default(), peer, false).is_proxy());
}

proptest! {
    /// Nothing in a field panics, or leads past what the nearest proxy has added.
    #[test]
    fn what_a_client_sends_before_it_counts_for_nothing(
        client in "[ -~]{0,60}",
        pieces in proptest::collection::vec(prop_oneof![
            Just("for="), Just("\""), Just("\\"), Just(","), Just(";"), Just("="), Just("10.0.0.2"), Just("6.6.6.6"), Just("proto=https"),
        ], 0..12),
    ) {
        let client = client + &pieces.concat();
        let forwarded = format!("{client}, for=192.0.2.1");
        let reached = Some("192.0.2.1:0 http -".to_string());
        prop_assert_eq!(come_to("any", &[("Forwarded", &forwarded)]), reached.clone());
        prop_assert!(come_to("any", &[("Forwarded", &client)]).is_some());
        let list = format!("{client}, 192.0.2.1");
        prop_assert_eq!(come_to("any", &[("X-Forwarded-For", &list)]), reached);
        prop_assert!(come_to("any", &[("X-Forwarded-For", &client), ("X-Forwarded-Host", &client)]).is_some());
    }
}
