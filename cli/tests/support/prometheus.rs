//! Debian's Prometheus: its `promtool`, and a server of its own for a test.

use super::{Client, eventually, scratch_folder, within_patience};
use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Runs `promtool` with these words and this input; returns what it said.
#[track_caller]
pub fn promtool(words: &[&str], input: &[u8]) -> String {
    let mut command = within_patience("promtool");
    let child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("promtool, which scripts/test installs");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {words:?}: {said}");
    said
}

/// A Prometheus that scrapes one address once a second.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Prometheus {
    #[track_caller]
    pub fn scraping(target: SocketAddr) -> Prometheus {
        let folder = scratch_folder();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n\
             - {{job_name: tine, static_configs: [{{targets: ['{target}']}}]}}\n"
        );
        fs::write(folder.join("prometheus.yml"), config).expect("its configuration");
        // It cannot say which port the system chose; another program may take this one first.
        eventually("Prometheus starts", || {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
            let mut prometheus = Prometheus { child: spawn(&folder, free), address: free, folder: folder.clone() };
            eventually("Prometheus is ready or ends", || {
                let has_ended = prometheus.child.try_wait().expect("its status").is_some();
                (has_ended || prometheus.try_get("/-/ready").is_some_and(|(status, _)| status == 200)).then_some(())
            });
            prometheus.child.try_wait().expect("its status").is_none().then_some(prometheus)
        })
    }

    /// The values that an expression has now, each with its labels.
    #[track_caller]
    pub fn query(&self, expression: &str) -> Vec<(String, f64)> {
        let mut encoded = String::new();
        expression.bytes().for_each(|byte| encoded.push_str(&format!("%{byte:02X}")));
        let (status, body) = self.try_get(&format!("/api/v1/query?query={encoded}")).expect("an answer");
        let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(status, 200, "{expression}: {answer}");
        let series = answer["data"]["result"].as_array().expect("a vector").clone();
        let value = |one: &serde_json::Value| one["value"][1].as_str().and_then(|text| text.parse().ok());
        series.iter().map(|one| (one["metric"].to_string(), value(one).expect("a number"))).collect()
    }

    fn try_get(&self, path: &str) -> Option<(u16, Vec<u8>)> {
        let mut client = Client::try_connect(self.address).ok()?;
        client.try_send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")).ok()?;
        let response = client.try_response("GET").ok()?;
        Some((response.status, response.body))
    }
}

fn spawn(folder: &Path, address: SocketAddr) -> Child {
    let log = || File::create(folder.join("log")).expect("its log");
    Command::new("prometheus")
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(log())
        .stderr(log())
        .spawn()
        .expect("prometheus, which scripts/test installs")
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("its files are kept in {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
