//! tine.publish and tine.subscribe: a request that waits in any worker gets what any other publishes, once and in order; waiting
//! costs nothing; and examples/chat.lua is a chat over 16 workers.

use crate::support::lua::{serve, serve_file, text_of};
use crate::support::{Client, Server, eventually, send_signal};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// /wait/CHANNEL/SECONDS streams each message of the channel as a line; /say/CHANNEL/TEXT publishes.
const APP: &str = r#"
local function lines(channel, seconds)
  local messages = tine.subscribe(channel)
  local begun = false
  return coroutine.wrap(function()
    coroutine.yield("ready " .. tine.worker .. "\n")
    while true do
      local text, more = messages:receive(seconds)
      if not text then
        return coroutine.yield("end: " .. more .. "\n")
      end
      coroutine.yield((more > 0 and "lost " .. more .. ", " or "") .. text .. "\n")
    end
  end)
end
function app(environ, start_response)
  start_response("200 OK", {})
  local what, channel, more = environ.PATH_INFO:match("^/(%a+)/(%w+)/?(.*)$")
  if what == "wait" then
    return lines(channel, tonumber(more))
  elseif what == "say" then
    return tostring(tine.publish(channel, more))
  elseif what == "many" then
    for number = 1, tonumber(more) do
      tine.publish(channel, number .. " " .. tine.worker .. " " .. ("x"):rep(1000))
    end
    return "done"
  elseif what == "long" then
    local ok, why = tine.publish(channel, ("x"):rep(262145))
    return tostring(ok) .. " " .. why
  end
  local said = {}
  for i, call in ipairs({
    function() tine.publish("a") end,
    function() tine.subscribe() end,
    function() tine.subscribe("a"):receive("soon") end,
    function() tine.subscribe("a"):receive(-1) end,
  }) do
    said[i] = select(2, pcall(call))
  end
  return table.concat(said, "\n")
end
"#;

/// A client whose request waits for messages; returns it with the worker that it is in.
fn waiting(server: &Server, path: &str) -> (Client, String) {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    client.head();
    let ready = line(&mut client);
    (client, ready.strip_prefix("ready ").expect("it says so first").to_string())
}

fn line(client: &mut Client) -> String {
    let chunk = client.chunk().expect("a chunk");
    String::from_utf8(chunk).expect("text").trim_end().to_string()
}

#[test]
fn each_waiting_request_gets_each_message_once_and_in_order() {
    let server = serve(APP, &["--workers", "4"]);
    let mut clients: Vec<(Client, String)> = (0..12).map(|_| waiting(&server, "/wait/a/60")).collect();
    let workers: BTreeSet<&str> = clients.iter().map(|(_, worker)| worker.as_str()).collect();
    assert!(workers.len() > 1, "they are in several workers: {workers:?}");
    let (mut other, _) = waiting(&server, "/wait/b/60");
    for number in 0..50 {
        assert_eq!(text_of(&server, &format!("/say/a/message{number}")), "true");
    }
    assert_eq!(text_of(&server, "/say/b/other"), "true");
    for (client, worker) in &mut clients {
        for number in 0..50 {
            assert_eq!(line(client), format!("message{number}"), "in worker {worker}");
        }
    }
    assert_eq!(line(&mut other), "other", "and none of another channel");
}

#[test]
fn a_wait_ends_with_its_time_and_with_its_worker() {
    let server = serve(APP, &["--workers", "2"]);
    let (mut brief, _) = waiting(&server, "/wait/a/0.05");
    assert_eq!(line(&mut brief), "end: timeout");
    let (mut now, _) = waiting(&server, "/wait/a/0");
    assert_eq!(line(&mut now), "end: timeout");
    let (mut long, _) = waiting(&server, "/wait/a/");
    assert!(server.ctl(&["reload"]).status.success());
    assert_eq!(line(&mut long), "end: closing", "a worker that is replaced does not wait for the end of a chat");
    assert_eq!(text_of(&server, "/long/a/"), "nil too long");
    let wrong = text_of(&server, "/wrong/a/");
    for (line, words) in wrong.lines().zip([
        "tine.publish takes a channel and a message",
        "tine.subscribe takes a channel",
        "receive takes a number of seconds",
        "receive takes a number of seconds",
    ]) {
        assert!(line.contains("app.lua:") && line.contains(words), "{line}");
    }
    assert_eq!(wrong.lines().count(), 4);
}

#[test]
fn a_request_that_waits_times_out_and_one_whose_client_leaves_is_forgotten() {
    let server = serve(APP, &["--request-timeout", "300ms"]);
    let (mut late, _) = waiting(&server, "/wait/a/60");
    let (_, _) = late.read_to_end();
    server.wait_log("the request timed out");
    let server = serve(APP, &["--workers", "1"]);
    for _ in 0..20 {
        let (client, _) = waiting(&server, "/wait/a/60");
        crate::support::lua::leave(client);
    }
    eventually("none is in flight", || (server.in_flight() == 0).then_some(()));
    let (mut client, _) = waiting(&server, "/wait/a/60");
    assert_eq!(text_of(&server, "/say/a/still"), "true");
    assert_eq!(line(&mut client), "still");
}

/// Its worker is stopped while more is published than the ring holds: the client is told how many it has missed, and the next
/// messages follow in order.
#[test]
fn a_subscriber_that_is_too_slow_is_told_how_many_it_has_lost() {
    let server = serve(APP, &["--workers", "2", "--accept", "per-worker"]);
    let (mut client, _) = waiting(&server, "/wait/a/60");
    let its = server.worker_of(&client).expect("a worker has it");
    send_signal(its, Signal::SIGSTOP);
    // In the other worker: one that is accepted by the stopped one is not answered.
    let said = eventually("the other worker answers", || {
        let mut client = server.connect();
        client.send("GET /many/a/10000 HTTP/1.1\r\nHost: t\r\n\r\n");
        client.is_readable_within(Duration::from_secs(10)).expect("a socket").then(|| client.response().text())
    });
    assert_eq!(said, "done");
    send_signal(its, Signal::SIGCONT);
    let mut next = 1;
    let mut lost_all = 0;
    while next <= 10_000 {
        let line = line(&mut client);
        let (lost, text) = match line.strip_prefix("lost ") {
            Some(rest) => rest.split_once(", ").expect("a number and a text"),
            None => ("0", line.as_str()),
        };
        let lost: usize = lost.parse().expect("a number");
        (next, lost_all) = (next + lost, lost_all + lost);
        assert_eq!(text.split(' ').next(), Some(next.to_string().as_str()));
        next += 1;
    }
    assert!((5000..9000).contains(&lost_all), "4 MiB of 1 KB each are kept: {lost_all} were lost");
}

#[test]
fn workers_that_wait_for_messages_sleep() {
    let server = serve(APP, &["--workers", "1"]);
    let _clients: Vec<(Client, String)> = (0..20).map(|_| waiting(&server, "/wait/a/")).collect();
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.workers()[0])).expect("a worker");
        let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
        fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    assert!(ticks() - before < 20, "a poll loop would have used a second of the CPU: {} ticks", ticks() - before);
}

#[test]
fn the_chat_of_the_examples_works_over_16_workers_and_a_reload() {
    let chat = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/chat.lua");
    let server = serve_file(chat.to_str().expect("a path in UTF-8"), &["--workers", "16"]);
    assert!(server.get("/").text().contains("new EventSource('/events')"));
    let listen = |history: &str| {
        let mut client = server.connect();
        client.send("GET /events HTTP/1.1\r\nHost: t\r\n\r\n");
        let head = client.head();
        assert!(head.contains("\r\nContent-Type: text/event-stream\r\n"), "{head}");
        assert_eq!(line(&mut client), format!("retry: 500\n\n{history}").trim_end());
        client
    };
    let say = |text: &str| {
        let mut client = server.connect();
        client.send(format!("POST /say HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
        client.response().status
    };
    let mut clients: Vec<Client> = (0..32).map(|_| listen("")).collect();
    for number in 0..10 {
        assert_eq!(say(&format!("line {number}\nevent: forged")), 204);
    }
    for client in &mut clients {
        for number in 0..10 {
            assert_eq!(line(client), format!("data: line {number} event: forged"));
        }
    }
    assert_eq!((say(""), server.get("/else").status), (400, 404));
    assert!(server.ctl(&["reload"]).status.success());
    for client in &mut clients {
        assert_eq!(client.chunk().expect("the end"), b"", "a browser connects again then");
    }
    let history: String = (0..10).map(|number| format!("data: line {number} event: forged\n\n")).collect();
    let mut later = listen(&history);
    assert_eq!(say("after the reload"), 204);
    assert_eq!(line(&mut later), "data: after the reload");
}
