//! `promtool` finds nothing to object to in /metrics, the alert rules and the scrape file; and the rules and the dashboard have
//! no metric that a server does not.

use crate::support::admin::{admin_of, get};
use crate::support::prometheus::{Prometheus, promtool};
use crate::support::{Client, Server, eventually};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

fn deploy(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}

/// All names in a text that are those of our metrics.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let is_metric = |word: &&str| word.starts_with("tine_") || word.starts_with("http_server_");
    words.filter(is_metric).map(str::to_string).collect()
}

/// Those of the dashboard.
fn panels() -> Vec<serde_json::Value> {
    let dashboard = fs::read_to_string(deploy("grafana/tine.json")).expect("the dashboard");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    dashboard["panels"].as_array().expect("panels").clone()
}

/// A server with limits, some requests, and a reload: all that has metrics only after an event.
fn observed() -> (Server, SocketAddr) {
    let server = Server::start(&["--workers", "2", "--admin", "0", "--limit-concurrency", "100"]);
    for path in ["/health", "/status/500", "/bin/100000"] {
        server.get(path);
    }
    server.signal(Signal::SIGHUP);
    let admin = admin_of(&server);
    eventually("all has happened", || {
        let text = get(admin, "/metrics").text();
        let has = |name: &str| text.lines().any(|line| line.starts_with(name));
        ["tine_last_reload_success", "tine_limit_state", "tine_workers{"].into_iter().all(has).then_some(())
    });
    (server, admin)
}

#[test]
fn promtool_finds_nothing_to_object_to_in_the_metrics() {
    let (_server, admin) = observed();
    let text = get(admin, "/metrics");
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(promtool(&["check", "metrics"], &text.body), "");
    let mut client = Client::connect(admin);
    client.send("GET /metrics HTTP/1.1\r\nHost: t\r\nAccept: application/openmetrics-text\r\n\r\n");
    let open = client.response();
    assert!(
        open.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text; version=1.0.0"))
    );
    assert!(open.text().ends_with("# EOF\n"));
}

#[test]
fn promtool_accepts_the_rules_and_the_scrape_file() {
    for (what, file) in [("rules", "prometheus/tine.rules.yml"), ("config", "prometheus/prometheus.yml")] {
        let said = promtool(&["check", what, deploy(file).to_str().expect("a path in UTF-8")], b"");
        assert!(said.contains("SUCCESS") && !said.to_lowercase().contains("warning"), "{said}");
    }
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/rules.test.yml");
    let said = promtool(&["test", "rules", tests.to_str().expect("a path in UTF-8")], b"");
    assert!(said.contains("SUCCESS"), "{said}");
}

#[test]
fn rules_and_dashboard_have_only_metrics_that_exist() {
    let (_server, admin) = observed();
    let text = get(admin, "/metrics").text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let known: BTreeSet<String> = samples.filter_map(|line| Some(line.split(['{', ' ']).next()?.to_string())).collect();
    for file in ["prometheus/tine.rules.yml", "grafana/tine.json"] {
        let text = fs::read_to_string(deploy(file)).expect(file);
        let missing: Vec<String> = names_in(&text).into_iter().filter(|name| !known.contains(name)).collect();
        assert_eq!(missing, [""; 0], "{file}");
        assert!(names_in(&text).len() > 10, "{file}");
    }
    let panels = panels();
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
}

#[test]
fn every_panel_of_the_dashboard_has_data() {
    let (server, admin) = observed();
    let prometheus = Prometheus::scraping(admin);
    let panels = panels();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<String> = targets
        .map(|target| target["expr"].as_str().expect("an expression"))
        // As Grafana fills them in: all jobs and instances.
        .map(|text| text.replace("$__rate_interval", "10s").replace("$job", ".*").replace("$instance", ".*"))
        .collect();
    assert!(expressions.len() > panels.len() / 2 && !expressions.concat().contains('$'), "{expressions:?}");
    for expression in expressions {
        eventually(&format!("{expression} has a value"), || {
            // A rate is of two scrapes, and a quantile of requests between them.
            server.get("/status/500");
            let values = prometheus.query(&expression);
            (!values.is_empty() && values.iter().all(|(_, value)| value.is_finite())).then_some(())
        });
    }
}
