//! A file that was opened is used again for a second, and no longer: what was replaced is seen, a descriptor is given back,
//! and a tag never belongs to two contents.

use crate::support::site::Site;
use crate::support::{Client, Response, Server, eventually, patience};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn get(client: &mut Client, path: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    client.response()
}

fn tag(response: &Response) -> String {
    response.header("etag").expect("a tag").to_string()
}

fn descriptors(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.workers()[0])).expect("the worker is there").count()
}

/// A body that says which version it is, of `length` bytes.
fn version(number: u8, length: usize) -> Vec<u8> {
    vec![b'a' + number; length]
}

#[test]
fn a_renamed_file_or_link_is_seen_within_the_validity() {
    const SIZES: [usize; 2] = [100, 100_000];
    let site = Site::of(&[]);
    for (path, length) in [("small", SIZES[0]), ("large", SIZES[1])] {
        site.write(path, &version(0, length));
    }
    site.write("one/page", &version(0, SIZES[0]));
    site.write("two/page", &version(1, SIZES[0]));
    symlink("one", site.path("current")).expect("a link");
    // A long validity: that the old version is served meanwhile does not depend on this machine's speed.
    let server = site.serve(&["--static-cache", "1m"]);
    let quick = site.serve(&[]);
    let paths = ["/small", "/large", "/current/page"];
    let first = |server: &Server| paths.map(|path| get(&mut server.connect(), path).body[0]);
    assert_eq!((first(&server), first(&quick)), ([b'a'; 3], [b'a'; 3]));
    for (path, length) in [("small", SIZES[0]), ("large", SIZES[1])] {
        site.write("new", &version(1, length));
        fs::rename(site.path("new"), site.path(path)).expect("it can be renamed");
    }
    symlink("two", site.path("next")).expect("a link");
    fs::rename(site.path("next"), site.path("current")).expect("the link is switched");
    let switched = Instant::now();
    assert_eq!(first(&server), [b'a'; 3], "it is still valid");
    let took = eventually("the new versions", || (first(&quick) == [b'b'; 3]).then(|| switched.elapsed()));
    assert!(took < Duration::from_secs(2) + patience() / 4, "{took:?}");
    // A reload begins anew.
    let before = server.workers();
    server.signal(nix::sys::signal::Signal::SIGHUP);
    eventually("a new worker", || (server.workers() != before && server.workers().len() == 1).then_some(()));
    assert_eq!(first(&server), [b'b'; 3]);
}

#[test]
fn a_large_file_that_changes_in_place_is_seen_at_once() {
    let site = Site::of(&[("large", &version(0, 100_000))]);
    let server = site.serve(&["--static-cache", "1m"]);
    let mut client = server.connect();
    let mut tags = vec![tag(&get(&mut client, "/large"))];
    let file = fs::File::options().write(true).open(site.path("large")).expect("it is there");
    for number in 1..10 {
        file.write_all_at(&version(number, 100_000), 0).expect("it can be written");
        // Not left to the file system's clock, which may be coarse.
        site.age("large", Duration::from_secs(1000 + u64::from(number)));
        let response = get(&mut client, "/large");
        assert!(response.body == version(number, 100_000), "{number}: {}", response.body[0]);
        assert!(!tags.contains(&tag(&response)), "{number}");
        tags.push(tag(&response));
    }
}

/// Two names that are decoded to one path are one file; a directory, its page and a file's siblings are others.
#[test]
fn no_request_gets_another_files_content() {
    let files = ["a", "a.txt", "d/index.html", "d/a", "index.html", "d e", "s.js", "s.js.gz", "t.js"];
    let contents: Vec<_> = files.iter().map(|name| (*name, format!("the file {name}"))).collect();
    let site = Site::of(&contents.iter().map(|(name, text)| (*name, text.as_bytes())).collect::<Vec<_>>());
    let server = site.serve(&["--static-cache", "1m"]);
    let mut client = server.connect();
    for _ in 0..3 {
        for (path, fields, status, name) in [
            ("/a", "", 200, "a"),
            ("/%61", "", 200, "a"),
            ("/a?d/a", "", 200, "a"),
            ("/a.txt", "", 200, "a.txt"),
            ("/d/", "", 200, "d/index.html"),
            ("/d/index.html", "", 200, "d/index.html"),
            ("/d", "", 301, ""),
            ("/d/a", "", 200, "d/a"),
            ("/d%2Fa", "", 404, ""),
            ("/a/", "", 404, ""),
            ("/", "", 200, "index.html"),
            ("/d%20e", "", 200, "d e"),
            ("/A", "", 404, ""),
            ("/s.js", "", 200, "s.js"),
            ("/s.js", "Accept-Encoding: gzip\r\n", 200, "s.js.gz"),
            ("/s.js.gz", "Accept-Encoding: gzip\r\n", 200, "s.js.gz"),
            ("/s.js", "Accept-Encoding: br\r\n", 200, "s.js"),
            ("/t.js", "Accept-Encoding: gzip\r\n", 200, "t.js"),
            ("/t.js.gz", "", 404, ""),
        ] {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
            let response = client.response();
            assert_eq!(response.status, status, "{path} {fields}");
            if status == 200 {
                assert_eq!(response.text(), format!("the file {name}"), "{path} {fields}");
                let is_coded = path == "/s.js" && name == "s.js.gz";
                assert_eq!(response.header("content-encoding").is_some(), is_coded, "{path} {fields}");
            }
        }
    }
}

/// A writer replaces both files as fast as it can while clients ask for them.
#[test]
fn a_tag_never_belongs_to_two_contents() {
    const REPLACEMENTS: usize = 1000;
    let site = Site::of(&[("small", b"0"), ("large", b"0")]);
    let server = site.serve(&["--static-cache", "5ms"]);
    let is_over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let clients = ["/small", "/small", "/large", "/large"].map(|path| {
            let (server, is_over) = (&server, &is_over);
            scope.spawn(move || {
                let (mut client, mut seen) = (server.connect(), HashMap::new());
                while !is_over.load(Ordering::Relaxed) {
                    let response = get(&mut client, path);
                    let number = response.text().trim_end_matches('-').to_string();
                    let known = seen.entry(tag(&response).trim_start_matches("W/").to_string());
                    assert_eq!(*known.or_insert(number.clone()), number, "{path}: {}", response.head);
                }
                (path, seen)
            })
        });
        for number in 1..=REPLACEMENTS {
            // Of the same length, so that only what is read tells the versions apart.
            for (name, length) in [("small", 200), ("large", 50_000)] {
                fs::write(site.path("new"), format!("{number:-<length$}")).expect("it can be written");
                fs::rename(site.path("new"), site.path(name)).expect("it can be renamed");
            }
        }
        is_over.store(true, Ordering::Relaxed);
        clients.map(|client| client.join().expect("each tag has one content"))
    });
    for path in ["/small", "/large"] {
        let mut all: HashMap<&String, &String> = HashMap::new();
        for (tag, number) in seen.iter().filter(|(asked, _)| *asked == path).flat_map(|(_, seen)| seen) {
            assert_eq!(all.insert(tag, number).unwrap_or(number), number, "{path}: {tag}");
        }
        println!("{} versions of {path} seen", all.len());
        assert!(all.len() > 1);
    }
}

#[test]
fn few_descriptors_are_held_and_given_back() {
    const FILES: usize = 5000;
    let site = Site::of(&[]);
    for number in 0..FILES {
        let file = fs::File::create(site.path(&number.to_string())).expect("a file can be made");
        file.set_len(20_000).expect("a sparse file");
    }
    let server = site.serve(&["--static-cache", "1m"]);
    let mut client = server.connect();
    assert_eq!(get(&mut client, "/none").status, 404, "the connection is accepted");
    let before = descriptors(&server);
    for number in 0..FILES {
        assert_eq!(get(&mut client, &format!("/{number}")).body.len(), 20_000);
    }
    assert_eq!(get(&mut client, "/none").status, 404, "the last one is sent");
    let held = descriptors(&server) - before;
    println!("{held} descriptors held after {FILES} files");
    assert!((1..=128).contains(&held), "{held}");
    // By default, not for longer than a second and the one until they are looked through.
    let server = site.serve(&[]);
    let (before, worker) = (descriptors(&server), server.workers()[0]);
    drop(get(&mut server.connect(), "/1"));
    fs::remove_file(site.path("1")).expect("it is there");
    eventually("the descriptor is given back", || (descriptors(&server) <= before).then_some(()));
    assert_eq!(get(&mut server.connect(), "/1").status, 404);
    assert_eq!(server.workers(), [worker]);
}

/// Descriptors that are only kept for other requests are closed when one is needed.
#[test]
fn kept_descriptors_make_room_for_others() {
    let names: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    let site = Site::of(&names.iter().map(|name| (name.as_str(), &[b'x'; 20_000][..])).collect::<Vec<_>>());
    let server = site.serve(&["--static-cache", "1m"]);
    let worker = server.workers()[0];
    let mut client = server.connect();
    for name in &names[..7] {
        assert_eq!(get(&mut client, &format!("/{name}")).status, 200);
    }
    let (pid, held) = (worker.to_string(), descriptors(&server));
    // The next descriptor gets the lowest free number.
    let is_free = |fd: &usize| fs::symlink_metadata(format!("/proc/{worker}/fd/{fd}")).is_err();
    let limit = (0..).find(is_free).expect("a number");
    let limited = std::process::Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={limit}:")]).status();
    assert!(limited.expect("prlimit is part of util-linux").success());
    assert_eq!(get(&mut client, "/7").status, 200);
    assert!(descriptors(&server) < held, "the others were closed");
}
