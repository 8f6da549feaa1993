//! `--idle-timeout` is TINE_IDLE_TIMEOUT, and so on for every option in the help.

use crate::support::{one_line_of, options, run_to_end_with};

fn variable(option: &str) -> String {
    format!("TINE_{}", option.to_uppercase().replace('-', "_"))
}

#[test]
fn a_wrong_value_in_the_variable_is_refused() {
    let options = options::names();
    assert!(options.len() >= 25, "the help was parsed wrongly: {options:?}");
    for option in options {
        let output = run_to_end_with(&["run", "0"], &[(variable(&option).as_str(), options::wrong_value(&option))]);
        let line = one_line_of(&output);
        assert!(line.contains(&format!("--{option}")), "{option}: {line}");
        assert_eq!(output.status.code(), Some(options::status_of_wrong_value(&option)), "{option}: {line}");
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
