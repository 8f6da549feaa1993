//! `--idle-timeout` is TINE_IDLE_TIMEOUT, and so on for every option in the help.

use crate::support::{one_line_of, run_to_end, run_to_end_with};

/// The long options of `tine run --help`, without those that only print.
fn options() -> Vec<String> {
    let help = String::from_utf8(run_to_end(&["run", "--help"]).stdout).expect("UTF-8");
    let option = |line: &str| {
        let line = line.trim_start();
        let line = line.split_once(", ").filter(|(short, _)| short.len() == 2).map_or(line, |(_, long)| long);
        let name = line.strip_prefix("--")?.split([' ', '=']).next()?;
        Some(name.to_string()).filter(|name| name != "help")
    };
    help.lines().filter_map(option).collect()
}

fn variable(option: &str) -> String {
    format!("TINE_{}", option.to_uppercase().replace('-', "_"))
}

#[test]
fn a_wrong_value_in_the_variable_is_refused() {
    let options = options();
    assert!(options.len() >= 25, "the help was parsed wrongly: {options:?}");
    for option in options {
        // Not a number, size, duration, mode, address or boolean, nor a file that could be written.
        // Options whose value is a path itself, of a socket or of a URL, get another wrong value.
        let wrong = match option.as_str() {
            "listen" => "no address",
            "health-path" => "no slash",
            _ => "/no/such/folder/x",
        };
        let output = run_to_end_with(&["run", "0"], &[(variable(&option).as_str(), wrong)]);
        let line = one_line_of(&output);
        assert!(line.contains(&format!("--{option}")), "{option}: {line}");
        let expected = if ["pidfile", "log-file", "control"].contains(&option.as_str()) { 1 } else { 2 };
        assert_eq!(output.status.code(), Some(expected), "{option}: {line}");
    }
}

#[test]
fn a_valid_value_is_used_and_the_command_line_takes_precedence() {
    let check = |arguments: &[&str]| {
        let environment = [
            ("TINE_PORT", "0"),
            ("TINE_HOST", "127.0.0.2"),
            ("TINE_WORKERS", "3"),
            ("TINE_IDLE_TIMEOUT", "7s"),
            ("TINE_HEADER_MAX", "1M"),
            ("TINE_ACCEPT", "per-worker"),
            ("TINE_TCP_FASTOPEN", "true"),
            ("TINE_MEM_INTERVAL", "1m"),
            ("TINE_QUIET", "yes"),
            ("TINE_BUFFER_SIZE", "1M"),
        ];
        let output = run_to_end_with(&[&["check"], arguments].concat(), &environment);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let said = check(&[]);
    for words in [
        "127.0.0.2:0",
        "workers 3",
        "idle-timeout 7s",
        "header-max 1M",
        "accept per-worker",
        "tcp-fastopen on",
        "mem-interval 1m",
        "quiet on",
        "buffer-size 1M",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    let said = check(&["--workers", "5", "--host", "127.0.0.1"]);
    assert!(said.contains("workers 5") && said.contains("127.0.0.1:0") && said.contains("idle-timeout 7s"), "{said}");
}

#[test]
fn several_addresses_are_separated_by_commas() {
    let environment = [("TINE_LISTEN", "127.0.0.1:0,127.0.0.2:0")];
    let output = run_to_end_with(&["check"], &environment);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(said.contains("127.0.0.1:0") && said.contains("127.0.0.2:0") && !said.contains("8080"), "{said}");
}
