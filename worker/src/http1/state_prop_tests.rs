//! Properties of whole connections: the app sees what was sent, however it is framed and cut; and no bytes at all break
//! a connection's state machine or bring a malformed head to the app.

use super::test_client::{Client, Echo, Paths};
use crate::app::{Answer, App, AppError, Cx, Exchange, Out, Pull};
use crate::http::Request;
use crate::protocol::{Closing, Next};
use crate::turn_clock::TurnClock;
use proptest::collection::vec;
use proptest::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Debug, Clone)]
struct Sent {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    /// Chunk sizes, used in rotation; none: Content-Length.
    chunks: Vec<usize>,
    extension: String,
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\nHost: a\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.fields {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if self.chunks.is_empty() {
            out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.body.len()).as_bytes());
            out.extend_from_slice(&self.body);
            return out;
        }
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        let mut rest = &self.body[..];
        for &size in self.chunks.iter().cycle() {
            // Few enough chunks that their extensions stay below the limit of one body.
            let size = size.max(self.body.len() / 500);
            let (chunk, after) = rest.split_at(size.min(rest.len()));
            out.extend_from_slice(format!("{:x}{}\r\n", chunk.len(), self.extension).as_bytes());
            if chunk.is_empty() {
                break;
            }
            out.extend_from_slice(&[chunk, b"\r\n"].concat());
            rest = after;
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let method = prop_oneof!["GET", "POST", "PUT", "[A-Z!#$%&'*+.^_`|~-]{1,12}"]
        .prop_filter("HEAD has no body in its answer, CONNECT none at all", |m| m != "HEAD" && m != "CONNECT");
    let target = r"/([a-z0-9._~:@!$&'()*+,;=/-]|%[2-9a-f][0-9a-f]){0,20}(\?[a-z0-9%/?=&]{0,10})?";
    let field = ("X-[A-Za-z0-9!#$%&'*+.^_`|~-]{0,12}", "([!-~é]([ \t!-~é]{0,20}[!-~é])?)?");
    let body = prop_oneof![4 => vec(any::<u8>(), 0..200), 1 => vec(any::<u8>(), 0..20_000)];
    let extension = "([ \t]{0,2};[ \t]?[a-z]{1,3}([ \t]?=[ \t]?([a-z]{1,3}|\"([a-z=; ]|\\\\[a-z\"]){0,3}\"))?)?";
    (method, target, vec(field, 0..6), body, vec(1usize..600, 0..4), extension).prop_map(
        |(method, target, fields, body, chunks, extension)| Sent { method, target, fields, body, chunks, extension },
    )
}

/// One request as the app saw it: its head, as text, and its body.
type Seen = (String, Vec<u8>);

/// Echoes, and records what it saw.
struct Recorder {
    seen: Rc<RefCell<Vec<Seen>>>,
    /// The most that one push takes.
    bite: usize,
}

struct Recording {
    echo: Echo,
    head: String,
    seen: Rc<RefCell<Vec<Seen>>>,
}

fn head_text<'a>(method: &str, target: &str, fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let fields = fields.filter(|(name, _)| name.starts_with("X-"));
    let lines: String = fields.map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value))).collect();
    format!("{method} {target}\n{lines}")
}

impl App for Recorder {
    fn call(&mut self, request: &Request<'_>, _cx: &Cx<'_>) -> Answer {
        let head = head_text(request.method(), request.target(), request.headers().iter());
        Answer::exchange(Recording { echo: Echo::new(self.bite, |_| Pull::Idle), head, seen: Rc::clone(&self.seen) })
    }
}

impl Exchange for Recording {
    fn push(&mut self, body: &[u8], end: bool, cx: &Cx<'_>) -> Result<usize, AppError> {
        self.echo.push(body, end, cx)
    }

    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        let pull = self.echo.pull(out, cx)?;
        if pull == Pull::End {
            self.seen.borrow_mut().push((self.head.clone(), self.echo.body.clone()));
        }
        Ok(pull)
    }
}

/// Cuts the bytes into pieces of these sizes, used in rotation.
fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for &size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at(size.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// A valid request with some bytes changed, inserted or removed: close enough to valid to find the edge.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop_oneof![Just(b'\n'), Just(b'\r'), Just(0u8), Just(b' '), Just(b'\t'), Just(b':'), any::<u8>()];
    let good = sent().prop_map(|sent| Sent { body: sent.body[..sent.body.len().min(20)].to_vec(), ..sent }.bytes());
    (good, vec((any::<prop::sample::Index>(), odd, 0..3usize), 0..4)).prop_map(|(mut bytes, damages)| {
        for (at, odd, how) in damages {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = odd,
                1 => bytes.insert(at, odd),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

/// Sends the pieces until the connection closes; the state machine is not used after that.
fn converse<A: App>(client: &mut Client<A>, pieces: &[&[u8]]) -> Next {
    let mut next = client.run();
    for piece in pieces {
        if next != Next::Wait {
            break;
        }
        next = client.send(piece);
    }
    if next == Next::Wait { client.end() } else { next }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_is_seen_and_echoed_in_order(
        requests in vec(sent(), 1..6),
        sizes in prop_oneof![vec(1usize..8, 1..4), vec(1usize..3000, 1..6)],
        bite in prop_oneof![Just(usize::MAX), 50usize..1000],
        is_time_up in any::<bool>(),
    ) {
        let bytes = requests.iter().flat_map(Sent::bytes).collect::<Vec<u8>>();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let mut client = Client::new(Recorder { seen: Rc::clone(&seen), bite });
        client.clock = is_time_up.then(TurnClock::always_up);
        prop_assert_eq!(converse(&mut client, &cut(&bytes, &sizes)), Next::Close(Closing::Flushed));
        let head = |sent: &Sent| {
            let fields = sent.fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            head_text(&sent.method, &sent.target, fields)
        };
        let expected: Vec<Seen> = requests.iter().map(|sent| (head(sent), sent.body.clone())).collect();
        prop_assert_eq!(&*seen.borrow(), &expected);
        let date = client.date_lines().to_vec();
        let answer = |sent: &Sent| {
            let length = format!("Content-Length: {}\r\n\r\n", sent.body.len());
            [b"HTTP/1.1 200 OK\r\n", &date[..], length.as_bytes(), &sent.body].concat()
        };
        prop_assert!(client.taken == requests.iter().flat_map(answer).collect::<Vec<u8>>(), "the responses differ");
    }

    #[test]
    fn no_bytes_break_a_connection(bytes in vec(any::<u8>(), 0..400), sizes in vec(1usize..100, 1..4)) {
        let mut client = Client::new(Paths);
        let next = converse(&mut client, &cut(&bytes, &sizes));
        prop_assert!(matches!(next, Next::Close(_)), "{next:?}");
    }

    #[test]
    fn damage_is_refused_or_harmless_but_never_accepted_unclean(
        bytes in damaged(),
        sizes in vec(1usize..100, 1..4),
    ) {
        // What the parser accepts contains nothing that another server could take for the end of a line or of the text.
        let mut fields = [const { std::mem::MaybeUninit::uninit() }; 100];
        let limits = tine_common::config::Limits::default();
        if let Ok(Some(parsed)) = super::parse::parse(&bytes, &mut fields, &limits) {
            let head = &bytes[..parsed.length];
            let lines = head.split(|&b| b == b'\n').filter(|line| !line.is_empty());
            for line in lines {
                let text = line.strip_suffix(b"\r");
                prop_assert!(text.is_some_and(|text| !text.iter().any(|b| b"\r\0".contains(b))), "{line:?}");
            }
            prop_assert!(head.ends_with(b"\r\n\r\n"));
        }
        // The responses do not depend on how the bytes were cut.
        let answer = |sizes: &[usize]| {
            let mut client = Client::new(Recorder { seen: Rc::default(), bite: usize::MAX });
            let next = converse(&mut client, &cut(&bytes, sizes));
            (client.text(), next)
        };
        let (text, next) = answer(&sizes);
        prop_assert!(matches!(next, Next::Close(_)), "{next:?}");
        let statuses = |text: &str| text.matches("HTTP/1.1 200").count();
        prop_assert_eq!(statuses(&text), statuses(&answer(&[1]).0));
        prop_assert_eq!(statuses(&text), statuses(&answer(&[bytes.len().max(1)]).0));
    }
}
