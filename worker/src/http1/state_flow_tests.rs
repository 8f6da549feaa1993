//! Conversations over time: waits and timeouts, `100 Continue`, and a client that reads slowly.

use super::test_client::*;
use crate::app::{Answer, App, AppError, Cx, Out, Pull};
use crate::http::{Head, Request, StatusCode};
use crate::protocol::Closing::{Cut, Flushed, Lingering, Reset};
use crate::protocol::Next::{Again, Close, Sent, Wait};
use crate::sink::Sink;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_response_whose_request_breaks_after_its_head_is_cut() {
    let breaks: [fn(&mut Client<Paths>) -> crate::protocol::Next; 3] =
        [|client| client.send(b"x\r\n"), |client| client.end(), |client| client.later(30 * SECOND)];
    for (which, breaks) in breaks.iter().enumerate() {
        let mut client = Client::new(Paths);
        assert_eq!(client.send(post("/head-first", "Transfer-Encoding: chunked\r\n", "").as_bytes()), Wait);
        assert_eq!((breaks(&mut client), client.text()), (Close(Cut), CHUNKED.to_string()), "{which}");
    }
}

#[test]
fn an_app_that_is_pulled_again_at_once_gets_the_body_of_a_half_closed_client() {
    let mut client = Client::new(Paths);
    assert_eq!(client.send(post("/echo/past", "Content-Length: 8\r\n", "01234567").as_bytes()), Wait);
    assert_eq!(client.end(), Wait);
    let turns = (0..10).take_while(|_| client.later(SECOND) == Wait).count();
    assert!(turns < 5, "it never ends");
    assert_eq!(client.text(), sized("200 OK", "", "01234567"));
}

#[test]
fn a_client_that_has_ended_its_side_is_probed_once() {
    let (old, head) = (get("/wait").replace("1.1", "1.0"), get("/wait").replace("GET", "HEAD"));
    let asked = |rest: &str| CONTINUE.to_string() + rest;
    let waited = sized("200 OK", "", "abc");
    for (name, request, meanwhile, last, next) in [
        ("before the head", get("/wait"), CONTINUE.to_string(), asked(&waited), Close(Flushed)),
        ("of HEAD", head, CONTINUE.to_string(), asked(&waited.replace("abc", "")), Close(Flushed)),
        ("by HTTP/1.0", old, "".into(), sized("200 OK", CLOSE, "abc"), Close(Flushed)),
        (
            "in a chunked body",
            get("/wait/chunked"),
            format!("{CHUNKED}1\r\na\r\n0"),
            format!("{CHUNKED}1\r\na\r\n02\r\nbc\r\n0\r\n\r\n"),
            Close(Flushed),
        ),
        (
            "in one that ends at once",
            get("/wait/end"),
            format!("{CHUNKED}1\r\na\r\n0"),
            format!("{CHUNKED}1\r\na\r\n00\r\n\r\n"),
            Close(Flushed),
        ),
        // A response cut at this point could be taken for one with its last chunk.
        (
            "in one that fails",
            get("/wait/fails"),
            format!("{CHUNKED}1\r\na\r\n0"),
            format!("{CHUNKED}1\r\na\r\n0"),
            Close(Reset),
        ),
        (
            "in a chunk",
            get("/wait/chunk"),
            format!("{CHUNKED}3\r\na"),
            format!("{CHUNKED}3\r\nabc\r\n0\r\n\r\n"),
            Close(Flushed),
        ),
        ("in a body of a length", get("/wait/sized"), waited.replace("bc", ""), waited.clone(), Close(Flushed)),
    ] {
        let mut client = Client::new(Waits);
        assert_eq!((client.send(request.as_bytes()), client.end()), (Wait, Wait), "{name}");
        let before = client.text();
        assert!(!before.contains("100 Continue"), "{name}: not at once, where it can be seen");
        assert_eq!((client.later(SECOND), client.text()), (Wait, meanwhile.clone()), "{name}");
        assert_eq!((client.later(5 * SECOND), client.text()), (Wait, meanwhile), "{name}: once");
        assert_eq!((client.later(4 * SECOND), client.text()), (next, last), "{name}");
    }
}

/// Waits for 10 s before its head, or in its body.
struct Waits;

impl App for Waits {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        let (path, until) = (request.path().to_string(), cx.now() + 10 * SECOND);
        pulled(move |out, cx| {
            let is_late = cx.now() >= until;
            let (first, then) = match path.as_str() {
                "/wait" if !is_late => return Ok(Pull::NotBefore(until)),
                "/wait" => {
                    out.head(Head::new(StatusCode::OK).length(3))?;
                    return out.write(b"abc").map(|()| Pull::End);
                }
                "/wait/sized" => (Some(3), &b"bc"[..]),
                "/wait/end" => (None, &b""[..]),
                "/wait/fails" if is_late => return Err(AppError::new("as the test wants it")),
                _ => (None, &b"bc"[..]),
            };
            if is_late {
                return out.write(then).map(|()| Pull::End);
            }
            if !out.has_head() {
                let head = Head::new(StatusCode::OK);
                out.head(first.map_or(head.clone(), |length| head.length(length)))?;
                if path == "/wait/chunk" {
                    out.begin_chunk(3)?;
                }
                out.write(b"a")?;
            }
            Ok(Pull::NotBefore(until))
        })
    }
}

#[test]
fn continue_is_sent_once_and_only_if_the_body_is_wanted() {
    let echoed = sized("200 OK", "", "hello");
    for (name, head, body, before, after, next) in [
        ("an exchange that waits", post("/echo", EXPECT_5, ""), "hello", CONTINUE.to_string(), echoed.clone(), Wait),
        ("a body that came with its head", post("/echo", EXPECT_5, "hello"), "", echoed, "".into(), Wait),
        ("an empty body", post("/echo", "Expect: 100-continue\r\n", ""), "", sized("200 OK", "", ""), "".into(), Wait),
        (
            "an answer at once",
            post("/text", EXPECT_5, ""),
            "hello",
            text("200 OK", CLOSE, "hi"),
            "".into(),
            Close(Lingering),
        ),
        ("no body", post("/text", "Expect: 100-continue\r\n", ""), "", hi(), "".into(), Wait),
        ("a body of no length", post("/text", EXPECT_0, ""), "", hi(), "".into(), Wait),
        ("an answer at once, all there", post("/text", EXPECT_5, "hello"), "", hi(), "".into(), Wait),
        ("an answer at once, begun", post("/text", EXPECT_5, "hell"), "o", hi(), "".into(), Wait),
        (
            "no bytes in its chunks",
            post("/sized", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            "",
            sized("200 OK", "", "abc"),
            "".into(),
            Wait,
        ),
        (
            "an exchange that does not want what is there",
            post("/refuse", EXPECT_5, "hel"),
            "lo",
            sized("403 Forbidden", "", "no"),
            "".into(),
            Wait,
        ),
        (
            "an exchange that does not want it",
            post("/refuse", EXPECT_5, ""),
            "hello",
            sized("403 Forbidden", CLOSE, "no"),
            "".into(),
            Close(Lingering),
        ),
        ("an exchange that fails", post("/fails", EXPECT_5, ""), "hello", failed(CLOSE), "".into(), Close(Lingering)),
    ] {
        let mut client = Client::new(Paths);
        let first = client.send(head.as_bytes());
        assert_eq!(client.text(), before, "{name}");
        let last = if first == Wait { client.send(body.as_bytes()) } else { first };
        assert_eq!((client.text(), last), (before.clone() + &after, next), "{name}");
        // Byte by byte, and with turns without input, it is still sent once.
        let mut client = Client::new(Paths);
        for byte in (head + body).as_bytes().chunks(1) {
            if client.send(byte) == Wait {
                client.later(SECOND / 1000);
            }
        }
        assert!(client.text().matches(CONTINUE).count() <= 1, "{name}: {}", client.text());
    }
}

#[test]
fn waits_time_out() {
    let late = |what| refused("408 Request Timeout", what);
    let head_late = || late("the request's head did not arrive in time");
    let body_late = || late("the request's body stopped arriving");
    let cl = "Content-Length: 5\r\n";
    for (name, input, seconds, before, answer, next) in [
        ("idle from the start", String::new(), 75, String::new(), String::new(), Close(Lingering)),
        ("idle after an answer", get("/text"), 75, hi(), String::new(), Close(Lingering)),
        ("a head", "G".into(), 10, "".into(), head_late(), Close(Lingering)),
        ("a head after an answer", get("/text") + "GET / HTTP/1.1\r\n", 10, hi(), head_late(), Close(Lingering)),
        ("a body", post("/echo", cl, "hell"), 30, "".into(), body_late(), Close(Lingering)),
        ("a body after 100", post("/echo", EXPECT_5, ""), 30, CONTINUE.into(), body_late(), Close(Lingering)),
        ("an unread body", post("/text", cl, "hell"), 5, hi(), String::new(), Close(Lingering)),
    ] {
        let mut client = Client::new(Paths);
        client.send(input.as_bytes());
        assert_eq!(client.later(seconds * SECOND - SECOND / 1000), Wait, "{name}: just before");
        assert_eq!(client.text(), before, "{name}");
        assert_eq!(client.later(SECOND / 1000), next, "{name}: on time");
        assert_eq!(client.text(), before + &answer, "{name}");
    }
}

#[test]
fn an_unread_body_has_a_total_timeout_after_the_response() {
    // A byte extends the wait, but not without limit.
    let mut client = Client::new(Paths);
    client.send(post("/text", "Content-Length: 100\r\n", "").as_bytes());
    for _ in 0..7 {
        assert_eq!((client.later(4 * SECOND), client.send(b"x")), (Wait, Wait));
    }
    assert_eq!((client.later(2 * SECOND), client.text()), (Close(Lingering), hi()));
    // Until the client has read the response, no other wait runs.
    let mut client = Client::new(Paths);
    client.takes_bytes = 0;
    client.send(post("/text", "Content-Length: 5\r\n", "").as_bytes());
    for _ in 0..10 {
        assert_eq!(client.later(10 * SECOND), Wait);
    }
    client.takes_bytes = usize::MAX;
    assert_eq!((client.later(SECOND), client.text()), (Wait, hi()));
    assert_eq!((client.later(4 * SECOND), client.later(SECOND)), (Wait, Close(Lingering)));
}

#[test]
fn a_body_that_trickles_times_out() {
    let mut client = Client::new(Paths);
    client.send(post("/echo", "Content-Length: 9\r\n", "").as_bytes());
    assert_eq!(client.later(29 * SECOND), Wait);
    assert_eq!(client.send(b"x"), Wait, "as slow as it may be");
    assert_eq!(client.later(2 * SECOND), Close(Lingering));
    assert_eq!(client.text(), refused("408 Request Timeout", "the request's body came too slowly"));
    // While the app does not take the body, or the client has to read the response first, the timeout does not run.
    let mut client = Client::new(Paths);
    client.send(post("/echo/later", "Content-Length: 9\r\n", "x").as_bytes());
    for _ in 0..100 {
        assert_eq!(client.later(10 * SECOND), Wait);
    }
    assert_eq!(client.send(b"12345678"), Wait);
    assert_eq!((client.later(10 * SECOND), client.text()), (Wait, sized("200 OK", "", "x12345678")));
}

#[test]
fn input_extends_the_wait_or_does_not() {
    // Each byte of a body does, no byte of a head does, and an empty line does not begin a head.
    let mut client = Client::new(Paths);
    client.limits.body_rate_min_bytes = 0;
    client.send(post("/echo", "Content-Length: 5\r\n", "").as_bytes());
    for byte in b"hello".chunks(1) {
        assert_eq!(client.later(29 * SECOND), Wait);
        assert_eq!(client.send(byte), Wait);
    }
    assert_eq!(client.text(), sized("200 OK", "", "hello"));
    for byte in b"GET /text".chunks(1) {
        assert_eq!(client.send(byte), Wait);
        assert_eq!(client.later(SECOND), Wait);
    }
    assert_eq!(client.later(SECOND), Close(Lingering));

    let mut client = Client::new(Paths);
    assert_eq!((client.send(b"\r"), client.send(b"\n")), (Wait, Wait));
    assert_eq!(client.later(20 * SECOND), Wait, "an empty line does not begin a head");
    assert_eq!((client.send(b"GET"), client.later(9 * SECOND)), (Wait, Wait), "the head has its own timeout");
    assert_eq!((client.send(&get(" /text").as_bytes()[4..]), client.text()), (Wait, hi()));

    // The end of an unread body restarts the idle timeout.
    let mut client = Client::new(Paths);
    client.limits.idle_timeout = 5 * SECOND;
    client.limits.linger_timeout = 25 * SECOND;
    client.send(post("/text", "Transfer-Encoding: chunked\r\n", "1\r\nx\r\n").as_bytes());
    assert_eq!((client.later(20 * SECOND), client.send(b"0\r\n\r\n")), (Wait, Wait));
    assert_eq!((client.later(4 * SECOND), client.later(SECOND)), (Wait, Close(Lingering)));

    // The idle timeout begins when the response is sent, not when it is queued.
    let mut client = Client::new(Paths);
    client.takes_bytes = 0;
    client.send(get("/text").as_bytes());
    assert_eq!(client.later(100 * SECOND), Wait);
    client.takes_bytes = usize::MAX;
    assert_eq!((client.later(SECOND), client.text()), (Wait, hi()));
    assert_eq!((client.later(74 * SECOND), client.later(SECOND)), (Wait, Close(Lingering)));
}

#[test]
fn an_exchange_is_pulled_again_at_its_time() {
    struct Delay(Rc<RefCell<u32>>);
    impl App for Delay {
        fn call(&mut self, _: &Request<'_>, cx: &Cx<'_>) -> Answer {
            let (at, pulls) = (cx.now() + 5 * SECOND, Rc::clone(&self.0));
            pulled(move |out, cx| {
                *pulls.borrow_mut() += 1;
                if cx.now() < at {
                    return Ok(Pull::NotBefore(at));
                }
                out.head(Head::new(StatusCode::OK).length(0)).map(|()| Pull::End)
            })
        }
    }
    let pulls = Rc::new(RefCell::new(0));
    let mut client = Client::new(Delay(Rc::clone(&pulls)));
    assert_eq!(client.send(get("/").as_bytes()), Wait);
    assert!(client.http1.is_in_flight());
    assert_eq!((client.later(4 * SECOND), *pulls.borrow()), (Wait, 1), "it is not pulled before");
    assert_eq!((client.later(SECOND), *pulls.borrow()), (Wait, 2));
    assert_eq!((client.text(), client.recorder.take_completed().len()), (sized("200 OK", "", ""), 1));
}

/// The bytes queued when a producer was pulled, and after it had written.
type Seen = Rc<RefCell<Vec<(usize, usize)>>>;

struct Producer(Seen);

const CHUNK_BYTES: usize = 5000;

impl App for Producer {
    fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
        let seen = Rc::clone(&self.0);
        pulled(move |out, cx| {
            let before = cx.limits().write_high_watermark_bytes - out.room();
            if !out.has_head() {
                out.head(Head::new(StatusCode::OK))?;
            }
            while out.has_room() {
                out.write(&[b'x'; CHUNK_BYTES])?;
            }
            seen.borrow_mut().push((before, queued(out)));
            Ok(Pull::More)
        })
    }
}

fn queued(out: &Out<'_>) -> usize {
    match &out.sink {
        Sink::Http1(sink) => sink.queue.len(),
        Sink::Http2(_) => unreachable!("the connection is of HTTP/1"),
    }
}

#[test]
fn a_producer_runs_between_the_watermarks() {
    let seen = Seen::default();
    let mut client = Client::new(Producer(Rc::clone(&seen)));
    let (low, high) = (client.limits.write_low_watermark_bytes, client.limits.write_high_watermark_bytes);
    client.takes_bytes = 0;
    assert_eq!(client.send(get("/").as_bytes()), Again);
    assert_eq!(seen.borrow().len(), 1, "a client that reads nothing costs one pull");
    // A client that reads slowly: the producer is pulled again at the low watermark, not before.
    client.takes_bytes = 1000;
    let mut queued_bytes = client.output.len();
    for _ in 0..500 {
        let pulls = seen.borrow().len();
        assert_eq!(client.step(), Again);
        assert_eq!(seen.borrow().len() > pulls, queued_bytes <= low, "pulled with {queued_bytes} bytes queued");
        queued_bytes = client.output.len();
    }
    let seen = seen.borrow();
    assert!(seen.len() > 5);
    for &(before, after) in seen.iter() {
        assert!(before <= low && after >= high, "from {before} to {after}");
        assert!(after < high + CHUNK_BYTES + 8, "{after} is more than one chunk past the high mark");
    }
}

/// Writes three times, returning `Pull::Sent`; counts its pulls.
struct Patient(Rc<Cell<u32>>);

impl App for Patient {
    fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
        let asked = Rc::clone(&self.0);
        pulled(move |out, _| {
            asked.set(asked.get() + 1);
            if !out.has_head() {
                out.head(Head::new(StatusCode::OK))?;
            }
            out.write(b"x")?;
            Ok(if asked.get() == 3 { Pull::End } else { Pull::Sent })
        })
    }
}

/// However little is queued.
#[test]
fn an_exchange_that_waits_for_its_output_is_pulled_once_all_is_sent() {
    let asked = Rc::default();
    let mut client = Client::new(Patient(Rc::clone(&asked)));
    client.takes_bytes = 0;
    assert_eq!((client.send(get("/").as_bytes()), asked.get()), (Sent, 1));
    assert_eq!((client.step(), asked.get()), (Sent, 1));
    assert_eq!(client.deadline(), None);
    client.takes_bytes = usize::MAX;
    assert_eq!((client.step(), asked.get()), (Sent, 1));
    assert_eq!((client.step(), asked.get()), (Sent, 2));
    assert_eq!((client.run(), asked.get()), (Wait, 3));
    assert!(client.text().ends_with("1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n0\r\n\r\n"), "{}", client.text());
}

#[test]
fn a_client_that_reads_nothing_is_not_read_from() {
    let mut client = Client::new(Paths);
    client.takes_bytes = 0;
    let next = client.send(get("/text").repeat(2000).as_bytes());
    assert_eq!(next, Again);
    let (low, one) = (client.limits.write_low_watermark_bytes, 200);
    assert!(client.output.len() > low && client.output.len() < low + one, "{} bytes wait", client.output.len());
    assert!(!client.wants_input());
    client.takes_bytes = usize::MAX;
    assert_eq!((client.run(), client.text()), (Wait, hi().repeat(2000)));
    assert_eq!((client.recorder.take_completed().len(), client.recorder.completed_count()), (2000, 0));
}

#[test]
fn empty_lines_in_pieces_do_not_keep_a_connection() {
    let mut client = Client::new(Paths);
    assert_eq!(client.step(), Wait);
    let ends = (0..200).find_map(|i| {
        client.later(SECOND / 2);
        let next = client.send(if i % 2 == 0 { b"\r" } else { b"\n" });
        (next != Wait).then_some((i, next))
    });
    let (turns, next) = ends.expect("it idles for 75 s at the most");
    assert_eq!(next, Close(Lingering));
    assert!((149..=152).contains(&turns), "{turns} half seconds");
}
