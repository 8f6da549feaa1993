//! tine.is_elected: true in one worker of the whole server at a time, and in a function that was told so until it has ended. When
//! that worker dies, leaves or is replaced, in a reload or an upgrade, another is elected. examples/cron.lua relies on it.

use crate::support::admin::{admin_of, get};
use crate::support::lua::{folder_with, serve, serve_from, text_of};
use crate::support::{Server, TINE, eventually, send_signal};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::Command;

/// An elected run writes a line when it begins, and one when it ends.
const APP: &str = r#"
local path = os.getenv("RUNS")
local function pid()
  local stat = io.open("/proc/self/stat")
  local number = stat:read("*n")
  stat:close()
  return math.floor(number)
end
local function note(text)
  local file = io.open(path, "a")
  file:write(text, "\n")
  file:close()
end
tine.every(0.005, function()
  if tine.is_elected() then
    note("begin " .. pid())
    tine.sleep(tine.is_leaving() and 0 or 0.02)
    note("end " .. pid())
  end
end)
function app(environ, start_response)
  start_response("200 OK", {})
  if environ.PATH_INFO == "/elected" then
    return tostring(tine.is_elected())
  end
  return tostring(pid())
end
"#;

struct Runs(std::path::PathBuf);

impl Runs {
    fn new(folder: &Path) -> Runs {
        let path = folder.join("runs");
        OpenOptions::new().create(true).append(true).open(&path).expect("a file");
        Runs(path)
    }

    fn lines(&self) -> Vec<(String, i32)> {
        let text = fs::read_to_string(&self.0).expect("the runs");
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| {
                let (what, pid) = line.split_once(' ').expect("a run");
                (what.to_string(), pid.parse().expect("a process"))
            })
            .collect()
    }

    /// The process of the last run that has begun after `count` lines.
    fn wait_more(&self, count: usize) -> i32 {
        eventually("a run begins", || {
            self.lines().get(count..)?.iter().find(|(what, _)| what == "begin").map(|(_, pid)| *pid)
        })
    }

    /// No run begins while another lasts, unless that one's process was killed.
    #[track_caller]
    fn assert_exclusive(&self, killed: &[i32]) {
        let mut lasts: Option<i32> = None;
        for (at, (what, pid)) in self.lines().into_iter().enumerate() {
            if what == "begin" {
                let before = lasts.filter(|other| !killed.contains(other));
                assert_eq!(before, None, "line {at}: {pid} begins");
                lasts = Some(pid);
            } else {
                assert_eq!(lasts, Some(pid), "line {at}");
                lasts = None;
            }
        }
    }
}

fn start(options: &[&str]) -> (Server, Runs, std::path::PathBuf) {
    let folder = folder_with(&[("app.lua", APP)]);
    let program = folder.join("tine");
    fs::hard_link(TINE, &program).expect("a link");
    let runs = Runs::new(&folder);
    let mut command = Command::new(&program);
    command.current_dir(&folder).args(["run", "app.lua", "0"]).args(options).env("RUNS", &runs.0);
    (Server::start_command(&mut command), runs, folder)
}

#[test]
fn another_is_elected_when_it_is_killed() {
    let (_server, runs, _folder) = start(&["--workers", "4"]);
    let mut killed = Vec::new();
    let mut elected = runs.wait_more(0);
    for _ in 0..4 {
        kill(Pid::from_raw(elected), Signal::SIGKILL).expect("a worker");
        killed.push(elected);
        let count = runs.lines().len();
        elected = eventually("another is elected", || {
            runs.lines().get(count..)?.iter().map(|(_, pid)| *pid).find(|pid| !killed.contains(pid))
        });
    }
    runs.assert_exclusive(&killed);
}

/// The processes that `tine ctl workers` shows as elected, in JSON and in its table.
fn shown(server: &Server) -> (Vec<i32>, Vec<i32>) {
    let said = |arguments: &[&str]| String::from_utf8(server.ctl(arguments).stdout).expect("UTF-8");
    let answer: serde_json::Value = serde_json::from_str(&said(&["workers", "--json"])).expect("JSON");
    let workers = answer["status"]["workers"].as_array().expect("a list");
    let elected = workers.iter().filter(|worker| worker["is_elected"].as_bool().expect("a truth"));
    let pids = elected.map(|worker| worker["pid"].as_i64().expect("a process") as i32).collect();
    let table = said(&["workers"]);
    let lines: Vec<&str> = table.lines().collect();
    let rows = lines.windows(2).filter(|two| two[1] == "     elected").map(|two| two[0]);
    (pids, rows.map(|row| row.split_whitespace().nth(1).expect("a column").parse().expect("a process")).collect())
}

#[test]
fn it_is_shown_which_one() {
    let (server, runs, _folder) = start(&["--workers", "3", "--admin", "0"]);
    let admin = admin_of(&server);
    let on_page = |pid: i32| {
        let page = String::from_utf8(get(admin, "/status").body).expect("UTF-8");
        let rows: Vec<&str> = page.lines().filter(|line| line.contains(", elected</span>")).collect();
        rows.len() == 1 && rows[0].contains(&format!(">{pid}<"))
    };
    let first = runs.wait_more(0);
    assert_eq!(shown(&server), (vec![first], vec![first]));
    eventually("the page shows it", || on_page(first).then_some(()));
    kill(Pid::from_raw(first), Signal::SIGKILL).expect("a worker");
    let next = eventually("another is elected", || runs.lines().iter().map(|(_, pid)| *pid).find(|pid| *pid != first));
    assert_eq!(shown(&server), (vec![next], vec![next]));
    eventually("the page shows the other", || on_page(next).then_some(()));
    let server = serve("return { app = function(_, start) start(200, {}) return 'x' end }", &["--workers", "2"]);
    assert_eq!(shown(&server), (vec![], vec![]), "no app has asked");
}

/// One that is stopped stays elected: it could go on in the middle of its work.
#[test]
fn a_stopped_worker_stays_elected_until_it_is_killed() {
    let (server, runs, _folder) = start(&["--workers", "2", "--worker-timeout", "3s"]);
    let elected = runs.wait_more(0);
    kill(Pid::from_raw(elected), Signal::SIGSTOP).expect("a worker");
    let others = || runs.lines().iter().filter(|(_, pid)| *pid != elected).count();
    eventually("the watchdog kills it", || {
        let count = others();
        let is_killed = server.log().contains("sending it SIGKILL");
        assert!(is_killed || count == 0, "none is elected beside it");
        is_killed.then_some(())
    });
    eventually("another is elected", || (others() > 0).then_some(()));
    runs.assert_exclusive(&[elected]);
}

#[test]
fn reloads_never_have_two() {
    let (mut server, runs, _folder) = start(&["--workers", "3"]);
    let mut elected = BTreeSet::from([runs.wait_more(0)]);
    for _ in 0..3 {
        let before = server.workers();
        assert!(server.ctl(&["reload"]).status.success());
        server.wait_gone(&before);
        elected.insert(runs.wait_more(runs.lines().len()));
    }
    assert_eq!(elected.len(), 4, "each generation has had one: {elected:?}");
    assert!(server.stop(Signal::SIGTERM).success());
    runs.assert_exclusive(&[]);
}

#[test]
fn an_upgrade_never_has_two() {
    let (server, runs, _folder) = start(&["--workers", "2"]);
    runs.wait_more(0);
    let before = server.workers();
    let upgraded = server.ctl(&["upgrade"]);
    assert!(upgraded.status.success(), "{}", String::from_utf8_lossy(&upgraded.stderr));
    server.wait_gone(&before);
    let elected = runs.wait_more(runs.lines().len());
    assert!(!before.contains(&elected));
    assert!(server.ctl(&["stop"]).status.success());
    server.wait_gone(&[elected]);
    runs.assert_exclusive(&[]);
}

#[test]
fn requests_are_told_and_one_is_elected_of_those_that_serve() {
    let app =
        "function app(environ, start) start('200 OK', {}) return tine.worker .. ' ' .. tostring(tine.is_elected()) end";
    let server = serve(app, &["--workers", "2"]);
    let mut said = BTreeSet::new();
    eventually("both have answered", || {
        said.insert(text_of(&server, "/"));
        (said.len() >= 2).then_some(())
    });
    for _ in 0..50 {
        said.insert(text_of(&server, "/"));
    }
    assert!(
        said == BTreeSet::from(["0 true".into(), "1 false".into()])
            || said == BTreeSet::from(["0 false".into(), "1 true".into()]),
        "{said:?}"
    );
    send_signal(server.pid(), Signal::SIGTERM);
}

/// A worker stands for election from the first time that it has asked, while the app loads or in a request.
#[test]
fn one_that_has_asked_once_is_elected_later() {
    let app = r#"
if os.getenv("EARLY") then tine.is_elected() end
function app(environ, start_response)
  start_response("200 OK", {})
  return tine.worker .. (environ.PATH_INFO == "/ask" and tostring(tine.is_elected()) or "")
end
"#;
    let folder = folder_with(&[("app.lua", app)]);
    for (asks_early, environment) in [(true, &[("EARLY", "1")][..]), (false, &[])] {
        let server = serve_from(&folder, "app.lua", &["--workers", "2"], environment);
        if !asks_early {
            let mut asked = BTreeSet::new();
            eventually("both have asked", || {
                asked.insert(text_of(&server, "/ask").chars().next());
                (asked.len() == 2).then_some(())
            });
        }
        let elected = || shown(&server).0.first().copied();
        let first = eventually("one is elected", elected);
        kill(Pid::from_raw(first), Signal::SIGKILL).expect("a worker");
        eventually("the other is elected", || elected().filter(|other| *other != first));
    }
}

/// While it finishes a request, too.
#[test]
fn one_that_leaves_lets_another_be_elected() {
    let app = r#"
tine.is_elected()
local go = tine.shared("go", "64K")
function app(environ, start_response)
  start_response("200 OK", {})
  if environ.PATH_INFO == "/go" then
    go:set("go", true)
  elseif environ.PATH_INFO == "/wait" then
    repeat tine.sleep(0.01) until go:get("go")
  end
  return tostring(tine.is_elected())
end
"#;
    let server = serve(app, &[]);
    let before = server.workers();
    eventually("it is elected", || (shown(&server).0 == before).then_some(()));
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it waits", || (server.in_flight() == 1).then_some(()));
    server.signal(Signal::SIGHUP);
    eventually("the next is elected", || shown(&server).0.first().filter(|pid| !before.contains(pid)).map(|_| ()));
    assert_eq!(text_of(&server, "/go"), "true");
    assert_eq!(client.response().text(), "false", "{}", server.log());
}

/// Each visit is in one sum, whichever worker has it, also over a reload.
#[test]
fn the_cron_of_the_examples_sums_up_all_visits_once() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut server = serve_from(&examples, "cron.lua", &["--workers", "3"], &[("SECONDS", "0.1")]);
    assert_eq!(text_of(&server, "/page"), "0 visits before this one\n");
    let summed_up = |server: &Server| -> usize {
        let log = server.log();
        let sums = log.lines().filter_map(|line| line.split_once(" visits since the last sum")?.0.rsplit(' ').next());
        sums.map(|sum| sum.parse::<usize>().expect("a number")).sum()
    };
    (0..9).for_each(|_| _ = text_of(&server, "/"));
    eventually("all visits are summed up", || (summed_up(&server) == 10).then_some(()));
    assert_eq!(text_of(&server, "/page"), "1 visits before this one\n");
    let before = server.workers();
    assert!(server.ctl(&["reload"]).status.success());
    server.wait_gone(&before);
    (0..5).for_each(|_| _ = text_of(&server, "/"));
    eventually("those after a reload, too", || (summed_up(&server) == 16).then_some(()));
    assert!(server.stop(Signal::SIGTERM).success());
    let log = server.log();
    let answered = log.lines().filter_map(|line| line.split_once(" has answered ")?.1.split(' ').next());
    assert_eq!(answered.map(|count| count.parse::<usize>().expect("a number")).sum::<usize>(), 16, "{log}");
    assert_eq!(summed_up(&server), 16);
}
