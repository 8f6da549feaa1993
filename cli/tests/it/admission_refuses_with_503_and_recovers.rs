//! Above `--max-connections`, in both accept modes, while all connections are in use: a 503 with a Retry-After, closed
//! cleanly, logged once; and room again as soon as a client leaves. (An idle connection would make room.)

use crate::support::{BUSY, Client, Response, Server, busy, eventually};

const GET: &str = "GET /health HTTP/1.1\r\nHost: t\r\n\r\n";

#[track_caller]
fn expect_refusal(response: &Response) {
    assert_eq!((response.status, response.header("retry-after")), (503, Some("5")));
    assert_eq!(
        (response.header("connection"), response.header("content-type")),
        (Some("close"), Some("text/plain; charset=utf-8"))
    );
    assert!(response.text().starts_with("503 Service Unavailable") && response.body.len() < 100, "{}", response.text());
}

fn refuses_and_recovers(mode: &str) {
    let server = Server::start(&["--workers", "2", "--max-connections", "3", "--accept", mode]);
    let kept = || busy(&server);
    let mut inside: Vec<Client> = (0..3).map(|_| kept().expect("there is room")).collect();
    for _ in 0..20 {
        let mut client = server.connect();
        client.send(GET);
        expect_refusal(&client.response());
        client.expect_end();
    }
    // Connected clients are not affected: each is answered, and has the next request in flight at once.
    for client in &mut inside {
        client.send(["x", BUSY].concat());
        assert_eq!((client.response().status, client.response().status), (200, 100));
    }
    // One line from each worker that refused a connection.
    let said = server.log().matches("refusing connections with 503").count();
    assert!((1..=2).contains(&said), "{}", server.log());
    inside.pop();
    inside.push(eventually("there is room again", kept));
    let mut client = server.connect();
    client.send(GET);
    expect_refusal(&client.response());
    drop(inside);
    eventually("there is room for all", || (0..3).map(|_| kept()).collect::<Option<Vec<Client>>>());
    server.wait_log("refused ");
    let sums = server.log().lines().filter(|line| line.contains("connections with 503 within")).count();
    assert!(sums <= 2, "{}", server.log());
}

#[test]
fn in_shared_mode() {
    refuses_and_recovers("shared");
}

#[test]
fn in_per_worker_mode() {
    refuses_and_recovers("per-worker");
}

/// Also to clients that send nothing, and to clients that send much.
#[test]
fn whatever_the_client_sends() {
    let server = Server::start(&["--workers", "1", "--max-connections", "1", "--defer-accept", "0"]);
    let _inside = busy(&server).expect("there is room");
    let body = vec![b'x'; 3 << 20];
    let post =
        [format!("POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), &body]
            .concat();
    for request in [&b""[..], b"not HTTP", GET.repeat(100).as_bytes(), &post] {
        let mut client = server.connect();
        client.send(request);
        expect_refusal(&client.response());
        client.expect_end();
    }
}
