//! Whatever a path contains, it names a regular file beneath the directory, or nothing; and nothing in the directory
//! can block a worker.

use crate::support::site::Site;
use crate::support::{Server, TINE, one_line_of};
use nix::sys::stat::Mode;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The user id of `nobody`.
const NOBODY_UID: u32 = 65534;

/// A secret beside the directory `root`, and everything that a directory can contain.
fn hostile_site() -> (Site, Server) {
    let site = Site::of(&[
        ("secret", b"SECRET"),
        ("rooted/secret", b"SECRET"),
        ("root/x", b"x"),
        ("root/sub/y", b"y"),
        ("root/.env", b"SECRET"),
        ("root/.git/config", b"SECRET"),
    ]);
    let root = site.path("root");
    let link = |name: &str, target: &Path| symlink(target, root.join(name)).expect("a link");
    link("up", Path::new("../secret"));
    link("out", &site.path("secret"));
    link("inside", &root.join("x")); // absolute: it would start above the root
    link("parent", Path::new(".."));
    link("slash", Path::new("/"));
    link("loop", Path::new("loop"));
    link("proc", Path::new("/proc/self/root"));
    link("within", Path::new("sub/../x"));
    nix::unistd::mkfifo(&root.join("fifo"), Mode::from_bits_truncate(0o600)).expect("a FIFO");
    drop(UnixListener::bind(root.join("socket")).expect("a socket"));
    link("null", Path::new("/dev/null"));
    let root = root.to_str().expect("UTF-8");
    let server = Server::start(&["--workers", "1", "--static", root, "--static-url", "/static"]);
    (site, server)
}

#[test]
fn hostile_paths_find_nothing() {
    let (_site, server) = hostile_site();
    let long_name = format!("/static/{}", "n".repeat(300));
    let long_path = format!("/static/{}x", "sub/".repeat(1200));
    let deep = format!("/static/{}secret", "%2e%2e/".repeat(100));
    // The path, and the statuses that are correct.
    let absent: &[u16] = &[404];
    let table: &[(&str, &[u16])] = &[
        ("/static/../secret", absent),
        ("/static/../x", absent),
        ("/static/..", absent),
        ("/static/../", absent),
        ("/static/%2e%2e/secret", absent),
        ("/static/%2e%2e%2fsecret", absent),
        ("/static/%2E%2E%2Fsecret", absent),
        ("/static/..%2fsecret", absent),
        ("/static/..%5csecret", absent),
        ("/static/..\\secret", absent),
        ("/static/.%2e/secret", absent),
        ("/static/%252e%252e/secret", absent),
        ("/static/sub/../../secret", absent),
        ("/static/sub/../x", absent),
        ("/static/./x", absent),
        ("/static//x", absent),
        ("/static//etc/passwd", absent),
        ("/static/%2Fetc/passwd", absent),
        ("/static/x/..", absent),
        ("/static/..;/secret", absent),
        ("/static/.../secret", absent),
        ("/static/%c0%ae%c0%ae/secret", absent), // an overlong encoding of two dots
        ("/static/up", absent),
        ("/static/out", absent),
        ("/static/inside", absent),
        ("/static/parent/secret", absent),
        ("/static/parent/root/x", absent),
        ("/static/slash/etc/passwd", absent),
        ("/static/proc/etc/passwd", absent),
        ("/static/loop", absent),
        ("/static/fifo", absent),
        ("/static/socket", absent),
        ("/static/null", absent),
        ("/static/.env", absent),
        ("/static/%2eenv", absent),
        ("/static/.git/config", absent),
        ("/static/sub/.", absent),
        ("/static/%20", absent),
        ("/static/%ff%fe", absent),
        ("/static/x%00", absent),
        ("/static/%00", absent),
        ("/static/x%00.html", absent),
        ("/static/x%0a", absent),
        ("/static/x%", &[400]),
        ("/static/x%4", &[400]),
        ("/static/%zz", &[400]),
        ("/static/%u002e%u002e/secret", &[400]),
        ("/staticed/secret", absent),
        ("/static/x/", absent),
        ("/static/x?/../../secret", &[200]),
        ("/static/within", &[200]), // the kernel resolves dots in a link, beneath the root
        (&long_name, absent),
        (&long_path, absent),
        (&deep, absent),
    ];
    for (path, statuses) in table {
        let response = server.get(path);
        assert!(statuses.contains(&response.status), "{path}: {}", response.head);
        assert!(!response.text().contains("SECRET") && !response.text().contains("root:"), "{path}");
    }
    assert_eq!(server.get("/static/x").text(), "x", "the worker goes on");
}

/// Precompressed siblings and index.html are opened by the same rules.
#[test]
fn siblings_and_indexes_do_not_lead_out() {
    let site = Site::of(&[("secret", b"SECRET"), ("root/a.css", b"a"), ("root/d/x", b"x"), ("root/b.css", b"b")]);
    symlink("../secret", site.path("root/a.css.gz")).expect("a link");
    symlink("../../secret", site.path("root/d/index.html")).expect("a link");
    nix::unistd::mkfifo(&site.path("root/b.css.br"), Mode::from_bits_truncate(0o600)).expect("a FIFO");
    let server = Server::start(&["--workers", "1", "--static", site.path("root").to_str().expect("UTF-8")]);
    let mut client = server.connect();
    for (path, status, text) in [("/a.css", 200, "a"), ("/b.css", 200, "b"), ("/d/", 404, "404 Not Found")] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip, br\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, status, "{path}");
        assert!(response.text().starts_with(text) && response.header("content-encoding").is_none(), "{path}");
    }
}

/// A file that the server may not read, and one in a directory that it may not search.
#[test]
fn unreadable_files_are_forbidden() {
    let site = Site::of(&[("x", b"x"), ("closed/y", b"y"), ("open/z", b"z")]);
    let close =
        |name: &str| std::fs::set_permissions(site.path(name), PermissionsExt::from_mode(0o000)).expect("chmod");
    close("x");
    close("closed");
    // Root may read every file; the user `nobody` may not, if it may run the binary at all.
    let is_root = std::fs::File::open(site.path("x")).is_ok();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(TINE);
        command.args(arguments).stdin(Stdio::null());
        if is_root {
            command.uid(NOBODY_UID);
        }
        command
    };
    if !command(&["check", "0", "--static", site.text()]).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: root may read every file, and the user `nobody` may not run the binary");
        return;
    }
    let server = Server::start_command(&mut command(&["run", "0", "--workers", "1", "--static", site.text()]));
    let statuses = ["/x", "/closed/y", "/open/z"].map(|path| server.get(path).status);
    assert_eq!(statuses, [403, 403, 200]);
    let closed = site.path("closed");
    let refused = command(&["check", "0", "--static", closed.to_str().expect("UTF-8")]).output().expect("it runs");
    let line = one_line_of(&refused);
    assert!(line.contains("--static") && line.contains("permission denied"), "{line}");
}
