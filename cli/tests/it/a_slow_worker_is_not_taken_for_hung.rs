//! A worker with slow requests goes from one to the next for longer than `--worker-timeout`: it is not killed, no
//! connection is cut, and a client with a quick request is answered in between.

use crate::apps;
use crate::support::{Client, Server};

const OPTIONS: [&str; 4] = ["--workers", "1", "--worker-timeout", "3s"];

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n")
}

/// Takes the answers that have arrived, without waiting: the worker goes on meanwhile.
fn take_answers(client: &mut Client) -> usize {
    client.stream.set_nonblocking(true).expect("a socket");
    let answers = std::iter::from_fn(|| client.try_response("GET").ok()).count();
    client.stream.set_nonblocking(false).expect("a socket");
    answers
}

#[track_caller]
fn assert_not_suspected(server: &Server, workers: &[i32]) {
    assert_eq!(server.workers(), workers, "{}", server.log());
    assert!(!server.log().contains("does not respond"), "{}", server.log());
}

/// 7 s of work, all of it queued at once.
#[test]
fn many_clients_with_a_slow_request_each() {
    const CLIENTS: usize = 200;
    let server = apps::serve("faults", &OPTIONS);
    let workers = server.workers();
    let mut crowd: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
    for client in &mut crowd {
        client.send(get("/"));
        assert_eq!(client.response().status, 200);
    }
    crowd.iter_mut().for_each(|client| client.send(get("/block/35")));
    assert_eq!(crowd[0].response().status, 200);
    assert_eq!(server.get("/").status, 200);
    let unanswered: Vec<Client> =
        crowd.into_iter().skip(1).filter_map(|mut client| (take_answers(&mut client) == 0).then_some(client)).collect();
    assert!(unanswered.len() > CLIENTS / 2, "all but {} earlier requests were answered first", unanswered.len());
    for mut client in unanswered {
        assert_eq!(client.response().status, 200);
    }
    assert_not_suspected(&server, &workers);
}

/// 8 s of work for one client.
#[test]
fn one_client_that_sends_many_slow_requests_at_once() {
    const REQUESTS: usize = 400;
    let server = apps::serve("faults", &OPTIONS);
    let workers = server.workers();
    let mut heavy = server.connect();
    heavy.send(get("/block/20").repeat(REQUESTS));
    assert_eq!(heavy.response().status, 200);
    assert_eq!(server.get("/").status, 200);
    let answered = 1 + take_answers(&mut heavy);
    assert!(answered < REQUESTS / 2, "{answered} earlier requests were answered first");
    for _ in answered..REQUESTS {
        assert_eq!(heavy.response().status, 200);
    }
    assert_not_suspected(&server, &workers);
}
