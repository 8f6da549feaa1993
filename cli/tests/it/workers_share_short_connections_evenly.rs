//! Connections with one request are spread over all workers, whether the workers share a queue or have one each.

use crate::support::{Client, lua};

const WORKERS: usize = 16;
/// Few, so that most workers sleep: the one that sleeps longest would always be woken.
const CLIENTS: usize = 4;
const ASKED_BY_EACH: usize = 4000;
/// Each answers with the number of its worker.
const APP: &str = "return function(environ, start_response)
  start_response('200 OK', {})
  return tostring(environ['tine.worker'])
end";
/// Workers that get the CPU get connections, and the machine has other work; the kernel's hash is 8 % off now and then
/// for this many. So one even round of a few is enough.
const ROUNDS: usize = 4;

/// How many requests each worker has answered.
fn round(accept: &str) -> Vec<usize> {
    let workers = WORKERS.to_string();
    let server = lua::serve(APP, &["--workers", &workers, "--accept", accept]);
    let ask = || {
        let mut counts = vec![0; WORKERS];
        for _ in 0..ASKED_BY_EACH {
            let mut client = Client::connect(server.address());
            client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
            let worker: usize = client.response().text().parse().expect("a worker's number");
            counts[worker] += 1;
        }
        counts
    };
    let mut sum = vec![0; WORKERS];
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        for client in clients {
            let counts = client.join().expect("a client that does not panic");
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    });
    assert_eq!(sum.iter().sum::<usize>(), CLIENTS * ASKED_BY_EACH);
    sum
}

/// No worker differs from the mean by more than a tenth.
fn is_even(counts: &[usize]) -> bool {
    let mean = CLIENTS * ASKED_BY_EACH / WORKERS;
    counts.iter().all(|count| count.abs_diff(mean) * 10 <= mean)
}

fn some_round_is_even(accept: &str) {
    let mut seen = Vec::new();
    for _ in 0..ROUNDS {
        let counts = round(accept);
        if is_even(&counts) {
            return;
        }
        seen.push(counts);
    }
    panic!("within 10 % of the mean: {seen:?}");
}

#[test]
fn of_one_queue() {
    some_round_is_even("shared");
}

#[test]
fn of_a_queue_each() {
    some_round_is_even("per-worker");
}
