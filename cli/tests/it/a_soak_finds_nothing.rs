//! The short form of scripts/soak: a mixed load, and meanwhile reloads, upgrades and killed workers.

use crate::support::scripts::run_script;

#[test]
fn in_its_short_form() {
    let said = run_script("soak", 25, &["--seconds", "25", "--workers", "2"]);
    assert!(said.contains("requests served") && said.ends_with("nothing found\n"), "{said}");
}
