//! With `--reload` the next request gets what was saved, however an editor saves it, and none fails meanwhile.

use crate::support::lua::{folder_with, serve_from, text_of};
use crate::support::{Client, Server, eventually};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Answers with what its parts say.
const APP: &str = r#"
local _, extra = pcall(require, "lib.extra")
local linked = dofile("current/conf.lua")
local templates = {}
local function template(name)
  if not templates[name] then
    local file = assert(io.open(name))
    templates[name] = file:read("*a")
    file:close()
  end
  return templates[name]
end
function app(environ, start_response)
  start_response("200 OK", {})
  return ("%s %s %s"):format(require("word"), type(extra) == "string" and #extra < 9 and extra or "-", linked)
    .. " " .. template("views/page.html")
end
"#;

fn folder() -> std::path::PathBuf {
    let folder = folder_with(&[
        ("app.lua", APP),
        ("word.lua", "return 'one'"),
        ("views/page.html", "page"),
        ("releases/1/conf.lua", "return 'r1'"),
        ("releases/2/conf.lua", "return 'r2'"),
    ]);
    symlink("releases/1", folder.join("current")).expect("a link");
    folder
}

fn reloads(server: &Server) -> usize {
    server.log().matches("reloading").count()
}

/// Saves, and requests until the answer is new: each is answered with the old or the new one.
#[track_caller]
fn saves(server: &Server, what: &str, old: &str, new: &str, save: impl FnOnce() -> io::Result<()>) {
    save().expect(what);
    eventually(what, || {
        let text = text_of(server, "/");
        assert!(text == old || text == new, "{what}: {text}\n{}", server.log());
        (text == new).then_some(())
    });
}

type Save = fn(&Path) -> io::Result<()>;

/// What is done, the answer after it, and how it is done.
const SAVES: [(&str, &str, Save); 8] = [
    ("written in place", "two - r1 page", |dir| fs::write(dir.join("word.lua"), "return 'two'")),
    ("replaced by another file", "three - r1 page", |dir| {
        fs::write(dir.join("word.new"), "return 'three'")?;
        fs::rename(dir.join("word.new"), dir.join("word.lua"))
    }),
    ("as vim does it", "four - r1 page", |dir| {
        fs::write(dir.join(".word.lua.swp"), "swap")?;
        fs::write(dir.join("4913"), "")?;
        fs::remove_file(dir.join("4913"))?;
        fs::rename(dir.join("word.lua"), dir.join("word.lua~"))?;
        fs::write(dir.join("word.lua"), "return 'four'")?;
        fs::remove_file(dir.join("word.lua~"))
    }),
    ("a template that a request has read", "four - r1 PAGE", |dir| fs::write(dir.join("views/page.html"), "PAGE")),
    ("a link led elsewhere", "four - r2 PAGE", |dir| {
        symlink("releases/2", dir.join("current.new"))?;
        fs::rename(dir.join("current.new"), dir.join("current"))
    }),
    ("a module that was missing, in a directory that was", "four new r2 PAGE", |dir| {
        fs::create_dir(dir.join("lib"))?;
        fs::write(dir.join("lib/extra.lua"), "return 'new'")
    }),
    ("a directory replaced by another", "four newer r2 PAGE", |dir| {
        fs::create_dir(dir.join("lib.new"))?;
        fs::write(dir.join("lib.new/extra.lua"), "return 'newer'")?;
        fs::rename(dir.join("lib"), dir.join("lib.old"))?;
        fs::rename(dir.join("lib.new"), dir.join("lib"))
    }),
    ("in the new directory", "four newest r2 PAGE", |dir| fs::write(dir.join("lib/extra.lua"), "return 'newest'")),
];

fn each_way_of_saving(options: &[&str]) {
    let folder = folder();
    let server = serve_from(&folder, "app.lua", options, &[]);
    let mut before = "one - r1 page".to_string();
    assert_eq!(text_of(&server, "/"), before);
    for (what, after, save) in SAVES {
        saves(&server, what, &before, after, || save(&folder));
        before = after.to_string();
    }
}

#[test]
fn however_it_is_saved() {
    each_way_of_saving(&["--reload"]);
}

#[test]
fn without_inotify_within_a_second() {
    each_way_of_saving(&["--reload", "--reload-engine", "poll"]);
}

#[test]
fn a_new_file_that_is_found_earlier() {
    let folder = folder();
    let first = folder.join("first");
    let options = ["--reload", "--app-dir", first.to_str().expect("UTF-8")];
    fs::create_dir(&first).expect("a directory");
    let server = serve_from(&folder, "app.lua", &options, &[]);
    saves(&server, "word", &text_of(&server, "/"), "five - r1 page", || {
        fs::write(first.join("word.lua"), "return 'five'")
    });
}

/// The app takes its time to load: from the moment that a change is noticed, requests wait for it.
#[test]
fn once_a_change_is_noticed_no_request_gets_the_old_app() {
    let app = "tine.sleep(0.3)\nreturn { app = function(_, start) start('200 OK', {}) return 'WORD' end }";
    let folder = folder_with(&[("app.lua", &app.replace("WORD", "one"))]);
    let server = serve_from(&folder, "app", &["--reload"], &[]);
    let mut kept = server.connect();
    kept.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(kept.response().text(), "one");
    fs::write(folder.join("app.lua"), app.replace("WORD", "two")).expect("the app");
    server.wait_log("app.lua changed; reloading");
    // A connection that is idle is closed, so that its next request goes to the new app.
    kept.expect_end();
    assert_eq!(text_of(&server, "/"), "two");
    assert_eq!(reloads(&server), 1, "{}", server.log());
}

/// As by `git checkout`.
#[test]
fn many_files_at_once_are_one_reload_or_a_few() {
    let files: Vec<String> = (0..300).map(|i| format!("part{i}.lua")).collect();
    let app = "local all = 0\nfor i = 0, 299 do all = all + require('part' .. i) end\n\
               return { app = function(_, start) start('200 OK', {}) return tostring(all) end }";
    let mut all: Vec<(&str, &str)> = files.iter().map(|name| (name.as_str(), "return 1")).collect();
    all.push(("app.lua", app));
    let folder = folder_with(&all);
    let server = serve_from(&folder, "app", &["--reload"], &[]);
    assert_eq!(text_of(&server, "/"), "300");
    for name in &files {
        fs::write(folder.join("new"), "return 2")
            .and_then(|()| fs::rename(folder.join("new"), folder.join(name)))
            .expect(name);
    }
    eventually("all are new", || (text_of(&server, "/") == "600").then_some(()));
    let line = server.wait_log("changed; reloading");
    assert!(line.contains("part") && reloads(&server) < 300, "{line} {}", reloads(&server));
}

/// A counter that is read and written would reload the app with each request.
#[test]
fn files_that_the_app_writes_itself_reload_nothing() {
    let app = r#"
      function app(environ, start_response)
        local file = io.open("count.txt")
        local count = file and file:read("*n") or 0
        if file then file:close() end
        file = assert(io.open("count.txt", "w"))
        file:write(count + 1)
        file:close()
        start_response("200 OK", {})
        return "counted"
      end"#;
    let folder = folder_with(&[("app.lua", app)]);
    let server = serve_from(&folder, "app.lua", &["--reload"], &[]);
    for _ in 0..5 {
        assert_eq!(text_of(&server, "/"), "counted");
    }
    fs::write(folder.join("app.lua"), app.replace("counted", "changed")).expect("the app");
    eventually("the new app", || (text_of(&server, "/") == "changed").then_some(()));
    assert_eq!(reloads(&server), 1, "{}", server.log());
    assert!(server.log().contains("app.lua changed; reloading"), "{}", server.log());
}

#[test]
fn further_files_can_be_named_and_left_out() {
    let app = "local file = io.popen('cat site/a.html site/skip/b.html site/c.css; cat left.out')\n\
               local text = file:read('*a')\nfile:close()\n\
               return { app = function(_, start) start('200 OK', {}) return text end }";
    let folder = folder_with(&[
        ("app.lua", app),
        ("site/a.html", "a"),
        ("site/skip/b.html", "b"),
        ("site/c.css", "c"),
        ("left.out", "-"),
        ("site/.hidden.html", "-"),
        ("site/node_modules/x.html", "-"),
    ]);
    let options = ["--reload", "--reload-dir", "site", "--reload-include", "*.html", "--reload-exclude", "skip"];
    let server = serve_from(&folder, "app", &options, &[]);
    assert_eq!(text_of(&server, "/"), "abc-");
    for name in ["site/skip/b.html", "site/c.css", "left.out", "site/.hidden.html", "site/node_modules/x.html"] {
        fs::write(folder.join(name), "!").expect(name);
    }
    saves(&server, "a file in the directory", "abc-", "A!!!", || fs::write(folder.join("site/a.html"), "A"));
    saves(&server, "a new file", "A!!!", "A!!?", || {
        fs::write(folder.join("left.out"), "?")?;
        fs::create_dir(folder.join("site/new"))?;
        fs::write(folder.join("site/new/d.html"), "d")
    });
    assert_eq!(reloads(&server), 2, "{}", server.log());
    let log = server.log();
    assert!(["hidden", "node_modules", "other file"].iter().all(|name| !log.contains(name)), "{log}");
}

#[test]
fn what_the_app_no_longer_uses_or_is_excluded_reloads_nothing() {
    let app = |text: &str| {
        format!("dofile('out/x.lua') return {{ app = function(_, start) start('200 OK', {{}}) return {text} end }}")
    };
    let folder = folder_with(&[("app.lua", &app("dofile('old.lua')")), ("old.lua", "return 'old'"), ("out/x.lua", "")]);
    let server = serve_from(&folder, "app", &["--reload", "--reload-exclude", "out"], &[]);
    assert_eq!(text_of(&server, "/"), "old");
    saves(&server, "an app without it", "old", "new", || fs::write(folder.join("app.lua"), app("'new'")));
    // Until then the files of the worker before count, too.
    server.wait_log("reloaded: 1 worker of generation 2");
    fs::write(folder.join("old.lua"), "return 'older'").expect("the file");
    // Nor is what was excluded looked at, though the app uses it.
    fs::write(folder.join("out/x.lua"), "return 1").expect("the file");
    saves(&server, "the app once more", "new", "newer", || fs::write(folder.join("app.lua"), app("'newer'")));
    assert_eq!(server.log().matches("app.lua changed; reloading").count(), 2, "{}", server.log());
    assert_eq!(reloads(&server), 2, "{}", server.log());
}

/// A file that is written again and again puts a reload off for a second at most.
#[test]
fn files_that_never_rest_are_reloaded_all_the_same() {
    let folder = folder_with(&[("app.lua", "return { app = function(_, start) start('200 OK', {}) return 'x' end }")]);
    fs::create_dir(folder.join("site")).expect("a folder");
    let server = serve_from(&folder, "app", &["--reload", "--reload-dir", "site"], &[]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0u64.. {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                fs::write(folder.join("site/page"), number.to_string()).expect("a file");
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let reloaded = std::panic::catch_unwind(|| {
            eventually("it is reloaded meanwhile", || (reloads(&server) > 0).then_some(()));
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(reloaded.is_ok());
    });
}

/// The file of `--config` is read anew; one that is wrong is shown like an app that is.
#[test]
fn the_configuration_file_is_watched_too() {
    let app = "return { app = function(_, start) start('200 OK', {}) return 'fine' end }";
    let folder = folder_with(&[("app.lua", app), ("tine.toml", "max-body = \"1K\"\n")]);
    let server = serve_from(&folder, "app", &["--reload", "--config", "tine.toml"], &[]);
    let post = |server: &Server| {
        let mut client: Client = server.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2000\r\n\r\n{}", "x".repeat(2000)));
        client.response()
    };
    assert_eq!(post(&server).status, 413);
    fs::write(folder.join("tine.toml"), "max-body = \"nonsense\"\n").expect("the file");
    eventually("the mistake is shown", || post(&server).text().contains("nonsense").then_some(()));
    fs::write(folder.join("tine.toml"), "max-body = \"4K\"\n").expect("the file");
    eventually("the new limit", || (post(&server).status == 200).then_some(()));
}
