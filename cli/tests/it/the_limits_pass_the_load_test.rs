//! The short form of scripts/load-test: nothing is refused below the limits and at the warning, some over the limit, and
//! nothing soon after.

use crate::support::scripts::run_script;

#[test]
fn in_its_quick_form() {
    let said = run_script("load-test", 65, &["quick"]);
    assert!(said.ends_with("all phases as expected\n"), "{said}");
}
