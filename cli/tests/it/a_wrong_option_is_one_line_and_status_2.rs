//! A user's mistake is reported in one line that names the option and what would be right: status 2, or 1 if the system
//! refuses.

use crate::support::{TINE, one_line_of, run_to_end, run_to_end_with};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

#[test]
fn a_wrong_option_is_one_line_and_status_2() {
    let over_long = format!("unix:/{}", "x".repeat(120));
    // The arguments, and what the line must contain.
    let table: &[(&[&str], &[&str])] = &[
        (&["--workers", "1025"], &["--workers", "from 0 to 1024", "auto"]),
        (&["--workers", "x"], &["--workers", "from 0 to 1024", "auto"]),
        (&["--workers", "-1"], &["--workers", "'-1'", "from 0 to 1024", "auto"]),
        (&["-w", "-1"], &["--workers", "'-1'", "from 0 to 1024", "auto"]),
        (&["--workers"], &["--workers", "N|auto"]),
        (&["--max-connections", "0"], &["--max-connections", "a number from 1", "auto"]),
        (&["--max-connections-per-address", "0"], &["--max-connections-per-address", "from 1 to 65535", "off"]),
        (&["--max-connections-per-address", "65536"], &["--max-connections-per-address", "from 1 to 65535", "off"]),
        (&["--backlog", "0"], &["--backlog", "from 1 to"]),
        (&["--backlog", "many"], &["--backlog"]),
        (&["--accept", "both"], &["--accept", "shared, per-worker or plain"]),
        (&["--host", "example.org"], &["--host", "127.0.0.1"]),
        (&["--listen", "example.org"], &["--listen", "127.0.0.1:8080", "unix:/path"]),
        (&["--listen", "unix:"], &["--listen", "unix:/run/tine.sock"]),
        (&["--listen", &over_long], &["--listen", "107 bytes"]),
        (&["--listen", "127.0.0.1:8081", "--listen", "127.0.0.1:8081"], &["--listen 127.0.0.1:8081", "once"]),
        (&["--listen", "unix:/tmp/a", "--listen", "unix:/tmp/a"], &["--listen unix:/tmp/a", "once"]),
        (
            &["--listen", "0.0.0.0:8081", "--listen", "127.0.0.1:8081"],
            &["--listen 127.0.0.1:8081 is included in 0.0.0.0:8081", "once"],
        ),
        (&["--listen", "[::1]:8081", "--listen", "[::]:8081"], &["--listen [::]:8081 includes [::1]:8081", "once"]),
        (&["--header-max", "16X"], &["--header-max", "64K"]),
        (&["--header-max", "-16K"], &["--header-max", "'-16K'", "64K"]),
        (&["--header-max", "1"], &["--header-max", "from 64 to 4M"]),
        (&["--header-max", "99999999999999999999"], &["--header-max", "64K"]),
        (&["--buffer-size", "63K"], &["--buffer-size", "from 64K to 4M"]),
        (&["--buffer-size", "5M"], &["--buffer-size", "from 64K to 4M"]),
        (&["--buffer-size", "256"], &["--buffer-size", "from 64K to 4M"]), // not hpdummy's KB
        (&["--request-line-max", "1G"], &["--request-line-max", "from 64 to 4M"]),
        (&["--header-count-max", "0"], &["--header-count-max", "from 1 to 256"]),
        (&["--header-count-max", "257"], &["--header-count-max", "from 1 to 256"]),
        (
            &["--write-low-watermark", "128K"],
            &["--write-low-watermark 128K", "--write-high-watermark 64K", "at most 64K"],
        ),
        (&["--write-high-watermark", "8K"], &["--write-low-watermark 16K", "--write-high-watermark 8K", "at most 8K"]),
        (&["--ws-idle-timeout", "30s"], &["--ws-ping-interval 30s", "--ws-idle-timeout 30s", "or 0 for no pings"]),
        (&["--write-high-watermark", "0"], &["--write-high-watermark", "from 1"]),
        (&["--reload-include", "views/**.html"], &["--reload-include", "'views/**.html'", "'views/**/*.html'"]),
        (&["--reload-exclude", "[ab"], &["--reload-exclude", "'[ab'", "'[abc]'"]),
        (&["--reload-exclude", "/views"], &["--reload-exclude", "'/views'", "without a slash"]),
        (&["--access-log-format", "%h %Z"], &["--access-log-format", "%Z is not a directive", "%{NAME}i"]),
        (
            &["--access-log-format", "commbined"],
            &["--access-log-format", "did you mean combined?", "common, combined, json"],
        ),
        (&["--idle-timeout", "10"], &["--idle-timeout", "10s"]),
        (&["--idle-timeout", "1.5s"], &["--idle-timeout", "500ms"]),
        (&["--idle-timeout", "0"], &["--idle-timeout", "at least 1ms"]),
        (&["--header-timeout", "0s"], &["--header-timeout", "at least 1ms"]),
        (&["--body-timeout", "9999999h"], &["--body-timeout", "longer than a year"]),
        (&["--write-timeout", "soon"], &["--write-timeout", "10s"]),
        (&["--graceful-timeout", "-1s"], &["--graceful-timeout", "'-1s'", "10s"]),
        (&["--drain-delay", "5"], &["--drain-delay", "10s"]),
        (&["--mem-interval", "10"], &["--mem-interval", "10s"]),
        (&["--mem-interval", "99ms"], &["--mem-interval 99ms", "at least 100ms, or 0"]),
        (&["--defer-accept", "x"], &["--defer-accept", "10s"]),
        (&["--receive-buffer", "1K"], &["--receive-buffer", "16K", "auto"]),
        (&["--tcp-fastopen=maybe"], &["--tcp-fastopen"]),
        (&["--quiet=maybe"], &["--quiet"]),
        (&["--stream-mb", "0"], &["--stream-mb", "from 1 to 1000"]),
        (&["--log-level", "loud"], &["--log-level", "error, warn, info, debug or off"]),
        (&["--chunk-size", "2M"], &["--chunk-size", "1 to 1M"]),
        (&["--app-dir", "/no/such/folder"], &["--app-dir", "/no/such/folder", "no such directory"]),
        (&["--lua-memory-max", "1K"], &["--lua-memory-max", "at least 1M"]),
        (&["--user", "no-such-user"], &["--user", "no such user", "or a number"]),
        (&["--user", "4242424"], &["--user 4242424", "--group"]),
        (&["--group", "no-such-group"], &["--group", "no such group", "or a number"]),
        (&["--umask", "888"], &["--umask", "octal", "027"]),
        (&["--chdir", "/no/such/folder"], &["--chdir /no/such/folder", "give a directory"]),
        (&["--cpu-affinity", "1-0"], &["--cpu-affinity", "auto, off", "0-3,8"]),
        (&["--worker", "2"], &["--worker", "--workers"]),
        (&["--bogus"], &["--bogus", "`tine run --help` lists the options"]),
        (&["-z"], &["-z", "`tine run --help` lists the options"]),
        (&["8081"], &["0 and 8081 are two ports", "--listen"]),
        (&["docs.app:app", "http"], &["\"http\"", "0 to 65535", "`tine run docs.app:app 8080`"]),
        (&["docs.app:app", "8081"], &["0 and 8081 are two ports"]), // three operands
        (&["docs.app:app", "builtin", "8081"], &["`tine run docs.app:app 8080`"]),
        (&["docs.app:"], &["\"docs.app:\" is not an app", "module.path:callable", ".lua"]),
        (&["127.0.0.1:8081"], &["--listen 127.0.0.1:8081"]),
    ];
    for (options, words) in table {
        for command in ["run", "check"] {
            let output = run_to_end(&[&[command, "0"], *options].concat());
            let line = one_line_of(&output);
            assert_eq!(output.status.code(), Some(2), "{options:?}: {line}");
            assert!(output.stdout.is_empty(), "{options:?}");
            for word in *words {
                assert!(line.contains(word), "{options:?}: {word:?} is not in {line:?}");
            }
        }
    }
}

#[test]
fn so_is_a_wrong_command_port_or_variable() {
    let table: &[(&[&str], &[&str])] = &[
        (&["run", "65536"], &["PORT", "0 to 65535"]),
        (&["run", "docs.app:app", "99999"], &["\"99999\"", "PORT", "0 to 65535"]),
        (&["serve", "80"], &["serve", "`tine run --help`"]),
        (&["run", "8081", "--listen", "127.0.0.1:8081"], &["--listen 127.0.0.1:8081 is given twice", "PORT"]),
        (&["check", "8081", "--host", "0.0.0.0", "--listen", "127.0.0.1:8081"], &["in 0.0.0.0:8081", "once"]),
        (&["--workers", "1025", "run"], &["--workers", "from 0 to 1024"]),
        (&["--workers", "run", "check"], &["'run'", "from 0 to 1024"]),
        (&["--workers", "run"], &["unexpected argument '--workers'", "'run --workers' exists"]), // no command
    ];
    for (arguments, words) in table {
        let output = run_to_end(arguments);
        let line = one_line_of(&output);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(words.iter().all(|word| line.contains(word)), "{arguments:?}: {line}");
    }
    for (name, value, words) in [
        ("TINE_WORKERS", "many", ["TINE_WORKERS: ", "from 0 to 1024"]),
        ("TINE_PORT", "x", ["TINE_PORT", "0 to 65535"]),
        ("TINE_APP", "docs..app", ["\"docs..app\" is not an app", "module.path:callable"]),
        ("TINE_TCP_FASTOPEN", "maybe", ["TINE_TCP_FASTOPEN: ", "true or false"]),
        ("TINE_QUIET", "maybe", ["--quiet", "true or false"]),
        ("TINE_LISTEN", "127.0.0.1:8081,127.0.0.1:8081", ["--listen 127.0.0.1:8081", "once"]),
        ("TINE_LOG", "loud", ["TINE_LOG", "error, warn, info, debug or off"]),
    ] {
        for command in ["run", "check"] {
            let output = run_to_end_with(&[command], &[(name, value)]);
            let line = one_line_of(&output);
            assert_eq!(output.status.code(), Some(2), "{line}");
            assert!(words.iter().all(|word| line.contains(word)), "{name}={value}: {line}");
        }
    }
}

#[test]
fn an_address_of_another_host_is_status_1() {
    // TEST-NET-1 of RFC 5737: assigned to no host.
    let output = run_to_end(&["run", "0", "--host", "192.0.2.1"]);
    let line = one_line_of(&output);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.contains("192.0.2.1") && line.contains("does not have that address; choose"), "{line}");
}

#[test]
fn a_port_without_permission_is_status_1() {
    let first_free = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if first_free.trim() != "1024" {
        println!("skipped: ports from {} need no right here", first_free.trim());
        return;
    }
    let mut command = Command::new(TINE);
    command.args(["check", "1"]).stdin(Stdio::null());
    if std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        command.uid(65534); // the user `nobody` has no such right
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(e) => {
            println!("skipped: root may bind any port, and the user `nobody` may not run the binary: {e}");
            return;
        }
    };
    let line = one_line_of(&output);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.contains("127.0.0.1:1: permission denied; ports below 1024 need root"), "{line}");
}
