//! Flow control on both levels, the order of streams, waits, and the end of a connection.

use super::frame::kind;
use super::state::STREAMS_MAX;
use super::test_client::*;
use crate::app::{Answer, App, AppError, Cx, Exchange, Out, Pull};
use crate::http::{Head, Request, Response, StatusCode, Trailers};
use crate::http1::test_client::{Paths, Pulled};
use crate::protocol::Next;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

pub const SECOND: Duration = Duration::from_secs(1);
const CHUNK_BYTES: usize = 1 << 20;

/// `/N`: N bytes, in blocks as there is room; `/chunk`, `/ready`: 1 MiB whatever the room; `/busy` never ends; `/later`, `/trailers`, `/early`,
/// `/take`, `/drop`, `/stuck`, and `/deaf`, which ends.
#[derive(Default, Clone)]
pub struct Bytes {
    /// Written by all exchanges.
    pub written: Rc<Cell<usize>>,
}

/// Takes nothing of its body until it is told.
struct Unhungry {
    takes: Rc<Cell<usize>>,
}

impl Exchange for Unhungry {
    fn push(&mut self, body: &[u8], _: bool, _: &Cx<'_>) -> Result<usize, AppError> {
        let taken = body.len().min(self.takes.get());
        self.takes.set(self.takes.get() - taken);
        Ok(taken)
    }

    fn wants_body(&self) -> bool {
        false
    }

    fn pull(&mut self, _: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        Ok(Pull::NotBefore(cx.now() + SECOND))
    }
}

/// Takes nothing of its body, and writes more than the window of its stream.
struct Stuck {
    ends: bool,
}

impl Exchange for Stuck {
    fn push(&mut self, _: &[u8], _: bool, _: &Cx<'_>) -> Result<usize, AppError> {
        Ok(0)
    }

    fn wants_body(&self) -> bool {
        false
    }

    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        if !out.has_head() {
            out.head(Head::new(StatusCode::OK))?;
            out.write(b"body")?;
        }
        Ok(if self.ends { Pull::End } else { Pull::Wait })
    }
}

/// Takes all of its body, and waits for more.
struct Hungry;

impl Exchange for Hungry {
    fn push(&mut self, body: &[u8], _: bool, _: &Cx<'_>) -> Result<usize, AppError> {
        Ok(body.len())
    }

    fn pull(&mut self, _: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        Ok(Pull::Idle)
    }
}

impl App for Bytes {
    fn call(&mut self, request: &Request<'_>, _: &Cx<'_>) -> Answer {
        let path = &request.path()[1..];
        if path == "take" {
            return Answer::exchange(Unhungry { takes: self.written.clone() });
        }
        if path == "stuck" || path == "deaf" {
            return Answer::exchange(Stuck { ends: path == "deaf" });
        }
        if path == "drop" {
            return Answer::exchange(Hungry);
        }
        if path == "later" {
            let mut is_called = false;
            return Answer::exchange(Pulled(move |out: &mut Out<'_>, _: &Cx<'_>| {
                if !std::mem::replace(&mut is_called, true) {
                    return Ok(Pull::More);
                }
                out.head(Head::new(StatusCode::OK).length(0))?;
                Ok(Pull::End)
            }));
        }
        if path == "busy" {
            return Answer::exchange(Pulled(|_: &mut Out<'_>, _: &Cx<'_>| Ok(Pull::More)));
        }
        if path == "trailers" {
            return Answer::exchange(Pulled(|out: &mut Out<'_>, _: &Cx<'_>| {
                out.head(Head::new(StatusCode::OK))?;
                out.write(b"body")?;
                out.trailers(Trailers::new().field("X-Sum", "1"))?;
                Ok(Pull::End)
            }));
        }
        if path == "chunk" {
            let written = self.written.clone();
            return Answer::exchange(Pulled(move |out: &mut Out<'_>, _: &Cx<'_>| {
                out.head(Head::new(StatusCode::OK))?;
                out.write(&[b'x'; CHUNK_BYTES])?;
                written.set(written.get() + CHUNK_BYTES);
                Ok(Pull::End)
            }));
        }
        if path == "ready" {
            self.written.set(self.written.get() + CHUNK_BYTES);
            return Response::new(StatusCode::OK).body(vec![b'x'; CHUNK_BYTES]).into();
        }
        if path == "early" {
            return Answer::exchange(Pulled(|out: &mut Out<'_>, _: &Cx<'_>| {
                out.interim(Head::new(StatusCode::EARLY_HINTS).header("Link", "</a>"))?;
                out.head(Head::new(StatusCode::OK).length(0))?;
                Ok(Pull::End)
            }));
        }
        let (mut left, written) = (path.parse::<usize>().unwrap_or(0), self.written.clone());
        Answer::exchange(Pulled(move |out: &mut Out<'_>, _: &Cx<'_>| {
            if !out.has_head() {
                out.head(Head::new(StatusCode::OK).length(left as u64))?;
            }
            while out.has_room() && left > 0 {
                let part = left.min(4096);
                out.write(&[b'x'; 4096][..part])?;
                left -= part;
                written.set(written.get() + part);
            }
            Ok(if left == 0 { Pull::End } else { Pull::More })
        }))
    }
}

/// The bytes of DATA that each stream got, and whether it has ended.
fn got(told: &str, id: u32) -> (usize, bool) {
    let start = format!("DATA {id} ");
    let lines = told.lines().filter_map(|line| line.strip_prefix(&start));
    lines.fold((0, false), |(sum, ended), line| {
        let (line, ends) = line.strip_prefix("end ").map_or((line, false), |line| (line, true));
        let length = line.strip_prefix("of ").map_or(line.len(), |length| length.parse().expect("a number"));
        (sum + length, ended || ends)
    })
}

#[test]
fn trailers_and_interim_heads() {
    let mut client = Client::new(Bytes::default());
    client.send(&[get(1, "/trailers"), get(3, "/early")].concat());
    let told = client.told();
    for line in [
        "HEADERS 1 :status=200\n",
        "DATA 1 body\nHEADERS 1 end x-sum=1\n",
        "HEADERS 3 :status=103 link=</a>\nHEADERS 3 end :status=200 content-length=0\n",
    ] {
        assert!(told.contains(line), "{line} is not in {told}");
    }
}

#[test]
fn no_more_is_sent_than_the_windows_allow() {
    let mut client = Client::new(Bytes::default());
    client.send(&get(1, "/200000"));
    assert_eq!(got(&client.told(), 1), (65_535, false));
    assert_eq!(client.send(&window(1, 100_000)), Next::Wait, "the connection's window is closed");
    assert_eq!(client.told(), "");
    client.send(&window(0, 1000));
    assert_eq!(got(&client.told(), 1), (1000, false));
    client.send(&[window(0, 1 << 20), window(1, 1 << 20)].concat());
    assert_eq!(got(&client.told(), 1), (200_000 - 66_535, true));
}

#[test]
fn a_window_may_become_negative_and_open_again() {
    let mut client = Client::new(Bytes::default());
    client.send(&[window(0, 1 << 20), get(1, "/100000")].concat());
    assert_eq!(got(&client.told(), 1), (65_535, false));
    client.send(&settings(&[(4, 0)]));
    client.send(&window(1, 65_535));
    assert_eq!(client.told(), "SETTINGS ACK\n");
    client.send(&settings(&[(4, 100_000)]));
    assert_eq!(got(&client.told(), 1), (34_465, true));
}

#[test]
fn what_a_refused_client_has_on_its_way_is_ignored_however_late_it_comes() {
    let mut client = Client::new(Paths);
    client.send(&request(1, false, "POST", "/text", &[("expect", "100-continue")]));
    assert!(client.told().ends_with("RST_STREAM 1 0\n"));
    client.later(SECOND);
    client.send(&[data(1, b"late", true), get(3, "/text")].concat());
    assert!(client.told().starts_with("HEADERS 3 :status=200"));
}

#[test]
fn a_window_that_came_before_the_response_failed_counts() {
    let mut client = Client::new(Paths);
    client.send(&[settings(&[(4, 10)]), request(1, false, "POST", "/fails/push", &[]), window(1, 90)].concat());
    client.send(&data(1, b"x", true));
    // Without its newline.
    assert_eq!(got(&client.told(), 1), (49, true));
}

#[test]
fn a_stream_that_its_client_does_not_take_stops_no_other_and_holds_little() {
    let app = Bytes::default();
    let mut client = Client::new(app.clone());
    client.send(&[settings(&[(4, 0)]), window(0, 1 << 30)].concat());
    for at in 0..100 {
        client.send(&get(2 * at + 1, "/100000000"));
    }
    assert!(app.written.get() <= 100 * 4096, "{}", app.written.get());
    client.told();
    // More than the mark waits by now, in all, and another stream goes on.
    for at in 50..100 {
        client.send(&rst(2 * at + 1, 8));
    }
    client.send(&[get(301, "/50000"), window(301, 60_000)].concat());
    assert_eq!(got(&client.told(), 301), (50_000, true));
}

#[test]
fn streams_that_their_client_does_not_take_hold_no_more_than_a_mark_each() {
    for path in ["/chunk", "/ready"] {
        let app = Bytes::default();
        let mut client = Client::new(app.clone());
        client.send(&[settings(&[(4, 0)]), window(0, 1 << 30)].concat());
        client.send(&(0..100).flat_map(|at| get(2 * at + 1, path)).collect::<Vec<_>>());
        let bound = STREAMS_MAX * client.limits.write_high_watermark_bytes;
        assert!((bound..bound + 2 * CHUNK_BYTES).contains(&app.written.get()), "{path}: {}", app.written.get());
        // Others go on once these have timed out, and once the windows are open.
        client.later(client.limits.write_timeout);
        assert!((2 * bound..2 * bound + 4 * CHUNK_BYTES).contains(&app.written.get()), "{path}: {}", app.written.get());
        client.send(&settings(&[(4, 1 << 30)]));
        client.step();
        assert_eq!(app.written.get(), 100 * CHUNK_BYTES, "{path}");
        assert_eq!(got(&client.told(), 199), (CHUNK_BYTES, true), "{path}");
    }
}

#[test]
fn a_client_that_reads_nothing_holds_little() {
    let app = Bytes::default();
    let mut client = Client::new(app.clone());
    client.takes_bytes = 0;
    client.send(&[settings(&[(4, 1 << 30)]), window(0, 1 << 30)].concat());
    for at in 0..100 {
        client.send(&get(2 * at + 1, "/100000000"));
    }
    assert!(app.written.get() <= client.limits.write_high_watermark_bytes + 4096, "{}", app.written.get());
    // As soon as it reads, all get their share.
    client.takes_bytes = 10_000;
    for _ in 0..2000 {
        client.step();
        if client.told().contains("DATA 199 ") {
            return;
        }
    }
    panic!("the last stream has got nothing");
}

#[test]
fn streams_take_turns_unless_their_priority_says_otherwise() {
    let order_after = |early: &[u8], first: &[(&str, &str)], second: &[(&str, &str)]| {
        let mut client = Client::new(Bytes::default());
        client.send(&[settings(&[(4, 1 << 20)])].concat());
        let requests = [request(1, true, "GET", "/60000", first), request(3, true, "GET", "/60000", second)].concat();
        client.send(&[early, &requests].concat());
        client.told();
        client.send(&window(0, 1 << 20));
        let told = client.told();
        let mut order: Vec<u32> = Vec::new();
        for line in told.lines().filter_map(|line| line.strip_prefix("DATA ")) {
            order.push(line.split(' ').next().and_then(|id| id.parse().ok()).expect("an id"));
        }
        (order, got(&told, 1), got(&told, 3))
    };
    let order = |first: &[(&str, &str)], second: &[(&str, &str)]| order_after(&[], first, second);
    let (order_of_equals, ..) = order(&[], &[]);
    assert!(order_of_equals.len() > 2, "{order_of_equals:?}");
    let (one_by_one, first, _) = order(&[("priority", "u=3")], &[("priority", "u=3")]);
    assert!(one_by_one.len() <= 2 && first.0 <= 60_000, "{one_by_one:?}");
    let (urgent, first, second) = order(&[("priority", "u=5")], &[("priority", "u=1")]);
    // The urgent one has had all but 5535 bytes of the first window.
    assert_eq!((urgent, first.1, second.0), (vec![1], true, 0));
    // By a frame that comes before its request, and counts more than what that says.
    let early = |stream: u8| frame(kind::PRIORITY_UPDATE, 0, 0, &[0, 0, 0, stream, b'u', b'=', b'5']);
    let left_after = |early: &[u8]| order_after(early, &[], &[("priority", "u=1")]).0;
    assert_eq!((left_after(&early(3)), left_after(&early(5))), (vec![3], vec![1]));
    // Of a stream that the client has passed over.
    let mut client = Client::new(Bytes::default());
    client.send(&[early(1), request(3, false, "POST", "/take", &[])].concat());
    assert_eq!(client.http2.streams[0].priority.urgency, 3);
}

#[test]
fn the_window_of_a_stream_opens_as_the_exchange_takes_and_that_of_the_connection_as_bytes_come() {
    let app = Bytes::default();
    let mut client = Client::new(app.clone());
    client.send(&request(1, false, "POST", "/take", &[]));
    let part = [b'x'; 16_384];
    for _ in 0..16 {
        client.send(&data(1, &part, false));
    }
    assert_eq!(client.told(), "", "a quarter of the connection's window, and nothing was taken");
    client.send(&data(1, b"x", false));
    assert_eq!(client.told(), "RST_STREAM 1 3\n", "more than the window");
    client.send(&request(3, false, "POST", "/take", &[]));
    for _ in 0..16 {
        client.send(&data(3, &part, false));
    }
    app.written.set(200_000);
    client.later(SECOND);
    let told = client.told();
    assert!(told.contains("WINDOW_UPDATE 3 200000\n") && told.contains("WINDOW_UPDATE 0 "), "{told}");
}

#[test]
fn the_connections_window_is_withheld_while_half_of_it_waits_for_apps() {
    let mut client = Client::new(Bytes::default());
    let send_whole_window = |client: &mut Client<Bytes>, id| {
        client.send(&request(id, false, "POST", "/take", &[]));
        for _ in 0..16 {
            client.send(&data(id, &[b'x'; 16_384], false));
        }
        client.told()
    };
    let opened = [1, 3].map(|id| send_whole_window(&mut client, id)).concat();
    assert_eq!(opened, "WINDOW_UPDATE 0 524288\n");
    assert_eq!([5, 7].map(|id| send_whole_window(&mut client, id)).concat(), "", "all of the second half waits");
    client.send(&[rst(1, 8), rst(5, 8)].concat());
    assert_eq!(client.told(), "WINDOW_UPDATE 0 524288\n");
}

#[test]
fn what_an_exchange_has_left_takes_nothing_of_the_connections_window() {
    let mut client = Client::new(Bytes::default());
    client.send(&settings(&[(4, 0)]));
    client.told();
    for id in (0..20).map(|at| 2 * at + 1) {
        // In one piece, so that all has come before the exchange is called.
        client.send_only(&request(id, false, "POST", "/deaf", &[]));
        client.send(&data(id, &[b'x'; 16_384], false).repeat(3));
    }
    let told = client.told();
    assert!(told.contains("WINDOW_UPDATE 0 "), "{told}");
}

/// An exchange that takes nothing does not keep a client from padding.
#[test]
fn padding_is_given_back_at_once() {
    let mut client = Client::new(Bytes::default());
    client.send(&request(1, false, "POST", "/take", &[]));
    let padded = frame(0, 8, 1, &[&[255, b'x'][..], &[0; 255]].concat());
    for _ in 0..600 {
        client.send(&padded);
    }
    let told = client.told();
    assert!(told.starts_with("WINDOW_UPDATE 1 131"), "{told}");
}

#[test]
fn a_hundred_continue_is_sent_while_the_body_is_waited_for() {
    let expects = request(1, false, "POST", "/echo", &[("expect", "100-continue")]);
    let mut client = Client::new(Paths);
    client.send(&expects);
    assert_eq!(client.told(), "HEADERS 1 :status=100\n");
    client.send(&data(1, b"ab", true));
    assert_eq!(client.told(), "HEADERS 1 :status=200 content-length=2\nDATA 1 end ab\n");
    client.send(&request(3, false, "POST", "/text", &[("expect", "100-continue")]));
    let told = client.told();
    assert!(told.starts_with("HEADERS 3 :status=200") && told.ends_with("RST_STREAM 3 0\n"), "{told}");
}

#[test]
fn more_streams_than_announced_are_refused() {
    let mut client = Client::new(Paths);
    for at in 0..=STREAMS_MAX as u32 {
        client.send(&request(2 * at + 1, false, "POST", "/idle", &[]));
    }
    assert_eq!(client.told(), format!("RST_STREAM {} 7\n", 2 * STREAMS_MAX + 1));
    client.send(&[rst(1, 8), get(1001, "/text")].concat());
    assert!(client.told().contains("HEADERS 1001 :status=200"));
}
