//! Random requests of another implementation, the crate h2, on one connection at a time: any methods, fields and bodies in any frames, with any
//! windows, read at once or late, some of them cancelled. Each answer is that of its request.
//!
//! Short by default. A failure is shrunk, and its seed printed; PROPTEST_RNG_SEED runs it again, PROPTEST_CASES runs more.

use crate::support::{Server, eventually, patience};
use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, StatusCode};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

#[derive(Debug, Clone)]
struct Shape {
    method: &'static str,
    path: String,
    fields: BTreeMap<String, String>,
    /// The body, frame by frame at most; `None`: END_STREAM in the head.
    body: Option<Vec<usize>>,
    declares: bool,
    wants: Wants,
}

#[derive(Debug, Clone, Copy)]
enum Wants {
    /// The echo of the request.
    Echo,
    /// This many bytes.
    Bytes(usize),
    /// The number of bytes that it sends.
    Count,
    /// The same, and leaves after this share of the body, in hundredths.
    ToLeave(usize),
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    stream_window: u32,
    connection_window: u32,
    frame_bytes: u32,
    table_bytes: u32,
    /// What has come is given back once the window is used up, not at once.
    is_late: bool,
}

/// The most requests of a connection.
const REQUESTS_MAX: usize = 30;

impl Settings {
    /// What a stream may owe the server without that all of them together stall the connection.
    fn owed_bytes_max(self) -> usize {
        let share = self.connection_window / REQUESTS_MAX as u32;
        if self.is_late { self.stream_window.min(share) as usize } else { 1 }
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "X-ANY"]);
    let path = "[a-z0-9._~%2-]{0,3}[a-z0-9._~-]{1,12}(\\?[a-z0-9=&]{0,20})?".prop_map(|path| path.replace('%', "%20"));
    let short = "[!-~]([ -~]{0,30}[!-~])?";
    let long = (1000usize..6000).prop_map(|length| "long-".repeat(length / 5));
    let fields = btree_map("x-[a-z0-9]{1,15}", prop_oneof![6 => short, 1 => long], 0..6);
    let size = prop_oneof![6 => 0usize..300, 3 => 0usize..20_000, 1 => 0usize..100_000];
    let body = proptest::option::weighted(0.6, vec(size, 0..6));
    let wants = prop_oneof![
        4 => Just(Wants::Echo),
        2 => (0usize..100_000).prop_map(Wants::Bytes),
        2 => Just(Wants::Count),
        1 => (0usize..100).prop_map(Wants::ToLeave),
    ];
    (method, path, fields, body, any::<bool>(), wants).prop_map(|(method, path, fields, body, declares, wants)| Shape {
        method,
        path,
        fields,
        body,
        declares,
        wants,
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    // Smaller ones are opened by tiny updates, which have a budget.
    let window = || prop_oneof![500u32..5000, 5000u32..70_000, Just(1 << 20)];
    (window(), 65_535u32..1 << 20, 16_384u32..70_000, prop_oneof![Just(0), 0u32..5000], any::<bool>()).prop_map(
        |(stream_window, connection_window, frame_bytes, table_bytes, is_late)| Settings {
            stream_window,
            connection_window,
            frame_bytes,
            table_bytes,
            is_late,
        },
    )
}

type Outcome = Result<(), String>;

fn wrong(what: impl std::fmt::Display) -> String {
    what.to_string()
}

impl Shape {
    fn frames(&self) -> Vec<Bytes> {
        let sizes = self.body.as_deref().unwrap_or_default();
        // Text, which the echo has as it is.
        sizes.iter().enumerate().map(|(at, &size)| Bytes::from(vec![b'a' + at as u8; size])).collect()
    }

    fn request(&self) -> Request<()> {
        let target = match self.wants {
            Wants::Echo => format!("/anything/{}", self.path),
            Wants::Bytes(count) => format!("/bin/{count}"),
            Wants::Count | Wants::ToLeave(_) => "/upload".into(),
        };
        let mut request = Request::builder().method(self.method).uri(format!("http://any.host{target}"));
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        if self.declares && self.body.is_some() {
            request = request.header("content-length", self.frames().iter().map(Bytes::len).sum::<usize>());
        }
        request.body(()).expect("a request")
    }

    async fn ask(&self, mut connection: SendRequest<Bytes>, owed_bytes_max: usize) -> Outcome {
        poll_fn(|cx| connection.poll_ready(cx)).await.map_err(wrong)?;
        let (response, mut sending) = connection.send_request(self.request(), self.body.is_none()).map_err(wrong)?;
        let frames = self.frames();
        let leaves_after = match self.wants {
            Wants::ToLeave(share) => frames.len() * share / 100,
            _ => usize::MAX,
        };
        if self.body.is_some() {
            for frame in frames.iter().take(leaves_after) {
                send(&mut sending, frame.clone()).await?;
            }
            if leaves_after < frames.len() {
                sending.send_reset(Reason::CANCEL);
                return Ok(());
            }
            sending.send_data(Bytes::new(), true).map_err(wrong)?;
        }
        let (head, body) = response.await.map_err(wrong)?.into_parts();
        let body = read(body, owed_bytes_max).await?;
        if head.status != StatusCode::OK {
            return Err(format!("{}: {}", head.status, String::from_utf8_lossy(&body)));
        }
        self.check(&body, &frames.concat())
    }

    fn check(&self, got: &[u8], sent: &[u8]) -> Outcome {
        let json = |got| serde_json::from_slice::<Value>(got).map_err(wrong);
        match self.wants {
            Wants::Bytes(count) => {
                let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".iter().cycle();
                if !got.iter().eq(alphabet.take(count)) {
                    return Err(format!("{} of {count} bytes, or others", got.len()));
                }
            }
            Wants::Count | Wants::ToLeave(_) => {
                if json(got)?["bytes_received"] != sent.len() {
                    return Err(format!("{} bytes are sent: {}", sent.len(), String::from_utf8_lossy(got)));
                }
            }
            Wants::Echo => {
                let echo = json(got)?;
                let uri = format!("http://any.host/anything/{}", self.path);
                if echo["method"] != self.method || echo["uri"] != uri.as_str() {
                    return Err(format!("{} {uri}: {echo}", self.method));
                }
                let headers = echo["headers"].as_object().ok_or("no headers")?;
                for (name, value) in &self.fields {
                    let same = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
                    if same.is_none_or(|(_, other)| other != value) {
                        return Err(format!("{name}: {value} is {same:?}"));
                    }
                }
                if echo["body_size"] != sent.len() || echo["body"].as_str().unwrap_or("").as_bytes() != sent {
                    return Err(format!("{} bytes are sent: {}", sent.len(), echo["body_size"]));
                }
            }
        }
        Ok(())
    }
}

/// One piece, in frames as large as the server's window and limit allow.
async fn send(sending: &mut SendStream<Bytes>, mut piece: Bytes) -> Outcome {
    if piece.is_empty() {
        return sending.send_data(piece, false).map_err(wrong);
    }
    while !piece.is_empty() {
        sending.reserve_capacity(piece.len());
        let capacity = poll_fn(|cx| sending.poll_capacity(cx)).await.ok_or("the stream has ended")?.map_err(wrong)?;
        let part = piece.split_to(capacity.min(piece.len()));
        sending.send_data(part, false).map_err(wrong)?;
    }
    Ok(())
}

async fn read(mut body: RecvStream, owed_bytes_max: usize) -> Result<Vec<u8>, String> {
    let (mut all, mut owed) = (Vec::new(), 0);
    while let Some(data) = body.data().await {
        let data = data.map_err(wrong)?;
        all.extend_from_slice(&data);
        owed += data.len();
        if owed >= owed_bytes_max {
            body.flow_control().release_capacity(std::mem::take(&mut owed)).map_err(wrong)?;
        }
    }
    Ok(all)
}

async fn converse(address: SocketAddr, shapes: &[Shape], settings: Settings) -> Outcome {
    let socket = tokio::net::TcpStream::connect(address).await.map_err(wrong)?;
    let (connection, driver) = client::Builder::new()
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.frame_bytes)
        .header_table_size(settings.table_bytes)
        .handshake::<_, Bytes>(socket)
        .await
        .map_err(wrong)?;
    let driver = tokio::task::spawn_local(driver);
    let asked: Vec<_> = shapes
        .iter()
        .map(|shape| {
            let (shape, connection) = (shape.clone(), connection.clone());
            tokio::task::spawn_local(async move {
                shape.ask(connection, settings.owed_bytes_max()).await.map_err(|why| format!("{shape:?}: {why}"))
            })
        })
        .collect();
    for one in asked {
        one.await.map_err(wrong)??;
    }
    drop(connection);
    driver.await.map_err(wrong)?.map_err(wrong)
}

fn run(runtime: &Runtime, address: SocketAddr, shapes: &[Shape], settings: Settings) -> Outcome {
    let all = async {
        let conversation = tokio::time::timeout(patience(), converse(address, shapes, settings));
        conversation.await.map_err(|_| "it takes too long".to_string())?
    };
    LocalSet::new().block_on(runtime, all)
}

#[test]
fn the_h2_crate_gets_what_it_sent() {
    let server = Server::start(&["--workers", "1"]);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let config = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 40 };
    let config = Config { cases, failure_persistence: None, max_shrink_time: 60_000, ..config };
    let result = TestRunner::new(config).run(&(vec(shape(), 1..=REQUESTS_MAX), settings()), |(shapes, settings)| {
        run(&runtime, server.address(), &shapes, settings).map_err(TestCaseError::fail)
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    eventually("nothing is in flight", || (server.in_flight() == 0).then_some(()));
}
