//! The states of the limits: near a limit there is a warning, over it a violation, each said once, in words that stay the
//! same; a violation is cleared at once, and what swings around a threshold is not a line a second.

use crate::support::lua;
use crate::support::{BUSY, Client, Server, TINE, busy, eventually};
use std::process::Command;
use std::time::{Duration, Instant};

/// The lines about resources, without time and process.
fn lines(server: &Server) -> Vec<String> {
    let line = |line: &str| {
        let (head, text) = line.split_once("] ")?;
        let level = head.split(' ').nth(1)?;
        (text.starts_with("Resource") || text.starts_with("RESOURCE")).then(|| format!("{level} {text}"))
    };
    server.log().lines().filter_map(line).collect()
}

fn status(server: &Server) -> serde_json::Value {
    let output = server.ctl(&["status", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    said["status"]["limits"].clone()
}

/// The state of a resource, as the status has it.
fn state(server: &Server, name: &str) -> String {
    let status = status(server);
    let resources = status["resources"].as_array().expect("a list");
    let resource = resources.iter().find(|one| one["name"] == name);
    resource.and_then(|one| one["state"].as_str()).unwrap_or("none").to_string()
}

/// A request that ends when this is dropped, or waits for room.
fn request(server: &Server) -> Client {
    let mut client = server.connect();
    client.send(BUSY);
    client
}

#[test]
fn concurrency_warns_is_exceeded_and_cleared() {
    let server = Server::start(&["--workers", "3", "--limit-concurrency", "10", "--limit-wait", "20s"]);
    let mut held: Vec<Client> = (0..7).map(|_| busy(&server).expect("room")).collect();
    eventually("it is measured", || (state(&server, "concurrency") == "normal").then_some(()));
    held.push(busy(&server).expect("room"));
    server.wait_log("Resource warning: Concurrent requests 8 approaching limit 10");
    assert_eq!(state(&server, "concurrency"), "warning");
    held.extend((0..2).map(|_| busy(&server).expect("room")));
    let waiting: Vec<Client> = (0..5).map(|_| request(&server)).collect();
    server.wait_log("RESOURCE VIOLATION: Concurrent requests 1");
    eventually("a violation", || (state(&server, "concurrency") == "violation").then_some(()));
    // It goes on for as long as they wait, through several samples.
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert_eq!(state(&server, "concurrency"), "violation", "{}", server.log());
    }
    drop(waiting);
    server.wait_log("Resource violation cleared: Concurrent requests 10 within limit 10");
    drop(held);
    server.wait_log("Resource warning cleared: Concurrent requests");
    eventually("normal again", || (state(&server, "concurrency") == "normal").then_some(()));
    let lines = lines(&server);
    let (level, demand) = lines[1].split_once(" RESOURCE VIOLATION: Concurrent requests ").expect("the second line");
    let demand: u64 = demand.strip_suffix(" exceeds limit 10").and_then(|text| text.parse().ok()).expect("a number");
    assert!(level == "ERROR" && (11..=15).contains(&demand), "{lines:?}");
    assert_eq!(lines[0], "WARN Resource warning: Concurrent requests 8 approaching limit 10");
    assert_eq!(lines[2], "WARN Resource violations detected, throttling requests");
    assert_eq!(lines[3], "WARN Resource violation cleared: Concurrent requests 10 within limit 10");
    assert!(lines[4].starts_with("INFO Resource warning cleared: ") && lines.len() == 5, "{lines:?}");
    let concurrency = &status(&server)["resources"][0];
    assert_eq!((concurrency["warnings"].as_u64(), concurrency["violations"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn a_peak_between_two_samples_is_a_warning() {
    let server = Server::start(&["--workers", "2", "--limit-concurrency", "100"]);
    // They end 300 ms after they have begun, mostly between two samples.
    for _ in 0..3 {
        let mut clients: Vec<Client> = (0..82).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| client.send("GET /delay/300 HTTP/1.1\r\nHost: t\r\n\r\n"));
        clients.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
    }
    let log = server.wait_log("Resource warning: Concurrent requests ");
    let warned = log.split("Resource warning: Concurrent requests ").nth(1).expect("it is there");
    // A sample may have been taken when not all had begun.
    let most: u64 = warned.split(' ').next().and_then(|count| count.parse().ok()).expect("a count");
    assert!((80..=82).contains(&most), "{log}");
}

#[test]
fn a_rate_is_exceeded_by_what_is_refused() {
    let server = Server::start(&["--workers", "2", "--limit-rate", "20/min", "--limit-wait", "0"]);
    let statuses: Vec<u16> = (0..50).map(|_| server.get("/any").status).collect();
    assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 20);
    let log = server.wait_log("RESOURCE VIOLATION: Request rate ");
    let line = log.lines().find(|line| line.contains("RESOURCE VIOLATION")).expect("it is there");
    let rate = line.split("Request rate ").nth(1).and_then(|text| text.strip_suffix("/min exceeds limit 20/min"));
    let rate: u64 = rate.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    assert!((21..=50).contains(&rate), "{line}");
    // It is cleared at once, though the window is full for a minute.
    server.wait_log("Resource violation cleared: Request rate 20/min within limit 20/min");
    assert_eq!(state(&server, "rate"), "warning");
}

#[test]
fn while_it_swings_the_log_is_quiet() {
    let server = Server::start(&["--workers", "1", "--limit-concurrency", "2", "--limit-warn", "50%"]);
    let began = Instant::now();
    let mut changes = 0;
    let mut last = String::new();
    while changes < 12 {
        let held = (changes % 2 == 0).then(|| busy(&server).expect("room"));
        let wanted = if held.is_some() { "warning" } else { "normal" };
        last =
            eventually("it is another state", || Some(state(&server, "concurrency")).filter(|state| state == wanted));
        changes += 1;
    }
    assert_eq!(last, "normal");
    let lines = lines(&server);
    // Two at first, then one in each interval of ten seconds.
    let most = 4 + 2 * began.elapsed().as_secs() / 10;
    assert!(lines.len() as u64 <= most && lines.len() >= 3, "{lines:?}");
}

/// Memory and CPU are never below this.
#[test]
fn memory_and_cpu_over_their_limits_close_the_gate_until_they_are_under() {
    let server = Server::start(&["--workers", "2", "--limit-memory", "1M", "--limit-wait", "100ms"]);
    let log = server.wait_log("RESOURCE VIOLATION: Memory usage ");
    assert!(log.contains("MB exceeds limit 1.0MB"), "{log}");
    server.wait_log("Resource violations detected, throttling requests");
    let mut client = server.connect();
    client.send("GET /any HTTP/1.1\r\nHost: t\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(server.get("/health").status, 200, "the health check is exempt");
    assert!(server.ctl(&["limit", "memory=off"]).status.success());
    eventually("requests are admitted again", || (server.get("/any").status == 200).then_some(()));
    let server = Server::start(&["--workers", "1", "--limit-cpu", "8%", "--limit-wait", "10s"]);
    let log = eventually("a violation", || {
        server.get("/bin/20M");
        Some(server.log()).filter(|log| log.contains("RESOURCE VIOLATION: CPU usage "))
    });
    assert!(log.contains("% exceeds limit 8.0%"), "{log}");
    // It waits while the server recovers, and is served then.
    assert_eq!(server.get("/any").status, 200);
}

#[test]
fn a_dry_run_says_so_and_throttles_nothing() {
    let options = ["--limit-memory", "1M", "--limit-concurrency", "2", "--limit-dry-run"];
    let server = Server::start(&[&["--workers", "2"][..], &options].concat());
    server.wait_log("RESOURCE VIOLATION: Memory usage ");
    server.wait_log("Resource violations detected, throttling nothing (dry run)");
    assert_eq!(server.get("/any").status, 200);
    let held: Vec<Client> = (0..5).map(|_| busy(&server).expect("nothing is refused")).collect();
    server.wait_log("RESOURCE VIOLATION: Concurrent requests ");
    drop(held);
    server.wait_log("Resource violation cleared: Concurrent requests");
}

const OPENS_FILES: &str = r#"
local open = {}
function app(environ, respond)
  respond("200 OK", {})
  if environ.PATH_INFO == "/close" then
    for _, file in ipairs(open) do file:close() end
    open = {}
    return "closed"
  end
  repeat
    local file = io.open("/dev/null")
    open[#open + 1] = file
  until not file or environ.PATH_INFO == "/some" and #open == 165
  return "opened " .. #open
end
"#;

#[test]
fn descriptors_warn_and_are_exhausted() {
    let folder = lua::folder_with(&[("app.lua", OPENS_FILES)]);
    let mut command = Command::new("sh");
    command.current_dir(folder).args([
        "-c",
        "ulimit -n 200; exec \"$0\" run app.lua 0 --workers 1 --limit-concurrency 100 --limit-exempt /close --limit-wait 0",
        TINE,
    ]);
    let server = Server::start_command(&mut command);
    let mut client = server.connect();
    let mut ask = |path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        client.response().status
    };
    assert_eq!(ask("/some"), 200);
    server.wait_log("Resource warning: Open descriptors 1");
    assert!(lines(&server)[0].ends_with(" approaching limit 200"), "{:?}", lines(&server));
    assert_eq!(ask("/all"), 200);
    server.wait_log("RESOURCE VIOLATION: Open descriptors 201 exceeds limit 200");
    assert_eq!(ask("/some"), 503);
    assert_eq!(ask("/close"), 200);
    eventually("there is room", || (ask("/some") == 200).then_some(()));
}
