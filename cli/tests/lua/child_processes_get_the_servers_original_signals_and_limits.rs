//! A program that an app starts inherits signals and limits as the server found them: no additional signals blocked or
//! ignored, and the soft limit of open files not raised. In the preflight, while a worker loads the app, and during a
//! request; with os.execute, with io.popen, and with a C module that forks.

use crate::support::lua::{folder_with, text_of};
use crate::support::{Server, TINE};
use std::fs;
use std::path::Path;
use std::process::Command;

const HEADERS: &str = if cfg!(feature = "luajit") { "/usr/include/luajit-2.1" } else { "/usr/include/lua5.4" };

const FORKS: &str = r#"
#include <lauxlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int run(lua_State *L) {
    const char *command = luaL_checkstring(L, 1);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)0);
        _exit(127);
    }
    lua_pushboolean(L, pid > 0 && waitpid(pid, 0, 0) == pid);
    return 1;
}

int luaopen_forks(lua_State *L) {
    lua_pushcfunction(L, run);
    return 1;
}
"#;

/// The state that a program prints.
const LOOK: &str = "grep -E '^Sig(Blk|Ign)' /proc/self/status; ulimit -S -n; ulimit -H -n";

const APP: &str = r#"
local run, LOOK = require("forks"), [=[LOOK_OF]=]
local count = 0
local function look(where)
  count = count + 1
  local into = ("{ %s; } > seen-%s-%d-"):format(LOOK, where, count)
  os.execute(into .. "execute")
  local pipe = io.popen(LOOK)
  local file = io.open(("seen-%s-%d-popen"):format(where, count), "w")
  file:write(pipe:read("*a"))
  file:close()
  pipe:close()
  assert(run(into .. "fork"))
end
look(io.open("/proc/self/comm"):read() == "tine: preflight" and "preflight" or "loaded")
function app(environ, start_response)
  look("asked")
  start_response("200 OK", {})
  os.execute("exit 3")
  return "done"
end
"#;

fn module(folder: &Path) {
    fs::write(folder.join("forks.c"), FORKS).expect("a source");
    let (source, library) = (folder.join("forks.c"), folder.join("forks.so"));
    let built = Command::new("cc")
        .args([
            "-shared",
            "-fPIC",
            "-o",
            library.to_str().expect("UTF-8"),
            source.to_str().expect("UTF-8"),
            "-I",
            HEADERS,
        ])
        .status()
        .expect("a C compiler");
    assert!(built.success());
}

/// Runs `then` under a shell that first runs `begun`.
fn shell(begun: &str, then: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{begun}{then}")]).current_dir(folder);
    command
}

fn check(begun: &str) {
    let folder = folder_with(&[("app.lua", &APP.replace("LOOK_OF", LOOK))]);
    module(&folder);
    let expected = shell(begun, &format!("sh -c {LOOK:?}"), &folder).output().expect("a shell");
    let expected = String::from_utf8_lossy(&expected.stdout).into_owned();
    assert_eq!(expected.lines().count(), 4, "{expected}");
    let run = format!("exec {TINE} run ./app.lua 0 --workers 1 --chdir {}", folder.display());
    let server = Server::start_command(&mut shell(begun, &run, &folder));
    // In the worker itself the limit is raised.
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.workers()[0])).expect("the worker's limits");
    let open_files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit").split_whitespace().collect();
    assert_eq!(open_files[3], open_files[4], "{limits}");
    text_of(&server, "/");
    let mut seen: Vec<String> = fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("seen-"))
        .collect();
    seen.sort();
    // The preflight, the worker, the request.
    assert_eq!(seen.len(), 9, "{seen:?}\n{}", server.log());
    for name in seen {
        assert_eq!(fs::read_to_string(folder.join(&name)).expect("what it saw"), expected, "{begun:?}: {name}");
    }
    drop(server);
    fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn as_from_a_shell() {
    check("");
}

#[test]
fn with_a_small_soft_limit() {
    check("ulimit -S -n 100; ");
}

/// As set by systemd for services, by nohup, and by a shell for background jobs.
#[test]
fn ignored_signals_stay_ignored() {
    check("trap '' PIPE HUP INT USR1; ");
}
