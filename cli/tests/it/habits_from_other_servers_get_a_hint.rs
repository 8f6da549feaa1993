//! Commands, options, addresses and variables as users of other servers type them are either accepted or refused with a
//! hint at the right one.

use crate::support::site::Site;
use crate::support::{Server, one_line_of, run_to_end, run_to_end_with};

/// The one-line error of a refused command.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let output = run_to_end(arguments);
    let line = one_line_of(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {line}");
    line
}

/// The output of `check`, each line with single spaces.
#[track_caller]
fn check(options: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run_to_end_with(&[&["check"], options].concat(), environment);
    assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn wrong_commands() {
    let site = Site::of(&[("public/x", b"x")]);
    let public = site.path("public");
    let public = public.to_str().expect("UTF-8");
    for (arguments, meant) in [
        (&["stop"][..], "`tine ctl stop`"),
        (&["status"], "`tine ctl status`"),
        (&["reload"], "`tine ctl reload`"),
        (&["scale", "4"], "`tine ctl scale`"),
        (&["restart"], "`tine ctl reload`"),
        (&["8080"], "`tine run 8080`"),
        (&["8080", "--workers", "2"], "`tine run 8080`"),
        (&["hello.lua"], "`tine run hello.lua`"),
        (&["docs.app:app"], "`tine run docs.app:app`"),
        (&[public], "`tine run --static "),
        (&["start"], "`tine run`"),
        (&["test"], "`tine check`"),
        (&["gibberish"], "`tine run --help`"),
    ] {
        let line = refused(arguments);
        assert!(line.contains(meant), "{arguments:?}: {line}");
    }
    for arguments in [["version"], ["-v"], ["-V"]] {
        let output = run_to_end(&arguments);
        assert_eq!(output.stdout, run_to_end(&["--version"]).stdout, "{arguments:?}");
        assert!(output.status.success());
    }
}

#[test]
fn options_of_other_servers() {
    for (option, meant) in [
        ("--access-logfile=-", "--access-log FILE"),
        ("--timeout", "--worker-timeout"),
        ("--bind", "--listen ADDR"),
        ("--port", "`tine run 8080`"),
        ("-p", "--pidfile"),
        ("-v", "--log-level debug"),
        ("-t", "`tine check`"),
        ("-c", "--config PATH"),
        ("-D", "foreground"),
        ("-s", "`tine ctl stop`"),
        ("-k", "--workers N"),
        ("--keep-alive", "--idle-timeout"),
        ("--threads=4", "one thread"),
        ("--forwarded-allow-ips=*", "--trusted-proxies CIDR"),
        ("--proxy-protocol", "--listen proxy:"),
        ("--script-name=/shop", "--root-path PATH"),
    ] {
        for command in ["run", "check"] {
            let line = refused(&[command, "0", option]);
            assert!(line.contains(meant), "{option}: {line}");
        }
    }
    for arguments in [&["top", "8080"][..], &["ctl", "8080", "status"], &["ctl", "status", "8080"]] {
        assert!(refused(arguments).contains("--control 8080"), "{arguments:?}");
    }
    assert!(refused(&["ctl", "-p", "x"]).contains("`tine ctl --help`"), "not an option of the server");
}

#[test]
fn short_options_of_gunicorn_and_nginx() {
    let said = check(&["-w", "3", "-b", "127.0.0.1:0", "-b", "[::1]:0"], &[]);
    assert!(said.contains("\nworkers 3 command line\n") && said.contains("127.0.0.1:0\n[::1]:0\n"), "{said}");
    assert!(check(&["0", "-w5"], &[]).contains("\nworkers 5 command line\n"));
    let before = run_to_end(&["-w", "3", "check", "0"]);
    assert!(before.status.success(), "{}", one_line_of(&before));
}

#[test]
fn addresses_in_the_notation_of_other_servers() {
    let site = Site::of(&[]);
    let socket = site.path("x.sock");
    for (address, meant) in [
        ("localhost:0", "127.0.0.1:0".to_string()),
        (":0", "0.0.0.0:0".to_string()),
        ("*:0", "0.0.0.0:0".to_string()),
        ("0", "127.0.0.1:0".to_string()),
        (socket.to_str().expect("UTF-8"), format!("unix:{}", socket.display())),
    ] {
        let said = check(&["--listen", address], &[]);
        assert!(said.contains(&format!(" on\n{meant}\nwith\n")), "{address}: {said}");
        let said = check(&[], &[("TINE_LISTEN", address)]);
        assert!(said.contains(&format!(" on\n{meant}\nwith\n")), "{address}: {said}");
    }
}

#[test]
fn numbers_out_of_range_for_ctl() {
    for (arguments, words) in [
        (["scale", "abc"], "from 1 to 1024"),
        (["scale", "0"], "from 1 to 1024"),
        (["scale", "-1"], "from 1 to 1024"),
        (["scale", "1025"], "from 1 to 1024"),
        (["drain", "x"], "from 0 to 1023"),
        (["recycle", "-1"], "from 0 to 1023"),
    ] {
        let line = refused(&["ctl", arguments[0], arguments[1]]);
        assert!(line.contains(arguments[1]) && line.contains(words), "{arguments:?}: {line}");
    }
}

#[test]
fn an_error_names_its_variable_and_an_empty_one_is_unset() {
    let said_by = |arguments: &[&str]| one_line_of(&run_to_end_with(arguments, &[("TINE_WORKERS", "abc")]));
    assert!(said_by(&["check", "0"]).contains("TINE_WORKERS: invalid value 'abc'"));
    for given in [&["check", "0", "--workers", "x"][..], &["check", "0", "--workers=x"], &["check", "0", "-wx"]] {
        let line = said_by(given);
        assert!(line.contains("'x'") && !line.contains("TINE_WORKERS"), "{given:?}: {line}");
    }
    let names = [
        "TINE_WORKERS",
        "TINE_LISTEN",
        "TINE_APP",
        "TINE_LOG",
        "TINE_LOG_LEVEL",
        "TINE_LOG_FILE",
        "TINE_QUIET",
        "TINE_STATIC",
        "TINE_PIDFILE",
        "TINE_CONTROL",
        "TINE_HOST",
        "TINE_IDLE_TIMEOUT",
    ];
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (*name, "")).collect();
    assert_eq!(check(&["0"], &empty), check(&["0"], &[]));
    // 8080 may be in use on this machine.
    let text = String::from_utf8(run_to_end_with(&["check"], &[("TINE_PORT", "")]).stderr).expect("UTF-8");
    assert!(!text.contains("TINE_PORT"), "{text}");
    let output = run_to_end_with(&["ctl", "status"], &[("TINE_CONTROL", "")]);
    assert!(!one_line_of(&output).contains("invalid value"), "{}", one_line_of(&output));
}

#[test]
fn a_misspelt_variable_is_warned_of() {
    let environment = [("TINE_WORKER", "3"), ("TINE_SERVICE_HOST", "10.0.0.1"), ("TINE_NOTHING_OF_OURS", "x")];
    let near = "unknown environment variable TINE_WORKER; did you mean TINE_WORKERS?";
    let far = "unknown environment variable TINE_NOTHING_OF_OURS\n";
    let said = check(&["0"], &environment);
    assert!(said.contains(&format!("warning: {near}\n")) && said.contains(far), "{said}");
    assert!(!said.contains("TINE_SERVICE_HOST"), "Kubernetes sets that: {said}");
    let server = Server::start_with(&["--workers", "1"], &environment);
    assert!(server.log().contains(&format!("] {near}\n")), "{}", server.log());
    let all = [("TINE_LOG", "info"), ("TINE_APP", "builtin"), ("TINE_CONTROL", "none"), ("TINE_WORKERS", "1")];
    assert!(!check(&["0"], &all).contains("warning"), "all of them are ours");
}

#[test]
fn the_level_of_the_log_is_an_option() {
    let line = " DEBUG master[";
    for (options, environment, is_there) in [
        (&["--log-level", "debug"][..], &[][..], true),
        (&["--log-level", "debug"], &[("TINE_LOG", "off")][..], true),
        (&[], &[("TINE_LOG_LEVEL", "debug"), ("TINE_LOG", "info")], true),
        (&["--log-level", "info"], &[("TINE_LOG", "debug")], false),
    ] {
        let mut server = Server::start_with(&[&["--workers", "1"], options].concat(), environment);
        server.stop(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(server.log().contains(line), is_there, "{options:?} {environment:?}: {}", server.log());
    }
}
