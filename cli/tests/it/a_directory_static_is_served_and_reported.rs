//! A directory `static` beside a Lua application is served before the application's own `/static/...`: the banner, the
//! log and `tine check` report it, and `--static none` turns it off.

use crate::support::lua::{PATH_APP, folder_with, serve_from};
use crate::support::{Server, TINE};
use std::process::Command;

#[test]
fn it_is_reported_and_can_be_turned_off() {
    let folder = folder_with(&[("app.lua", PATH_APP), ("static/x", "a file"), ("none/x", "another")]);
    let server = serve_from(&folder, "app.lua", &[], &[]);
    assert_eq!(server.get("/static/x").text(), "a file");
    let line = "the files in static at /static, since the directory exists; --static none disables it\n";
    assert!(server.stdout().contains(&format!("\nAlso: {line}")), "{}", server.stdout());
    assert!(server.log().contains(&format!(" INFO master[{}] also {line}", server.pid())), "{}", server.log());

    for (options, environment) in [(&["--static", "none"][..], &[][..]), (&[], &[("TINE_STATIC", "none")])] {
        let server = serve_from(&folder, "app.lua", options, environment);
        assert_eq!(server.get("/static/x").text(), "the app: /static/x");
        assert!(!server.stdout().contains("Also: "), "{}", server.stdout());
    }
    // `./none` is a directory of that name, and a directory that was named is reported without a reason.
    let server = serve_from(&folder, "app.lua", &["--static", "./none"], &[]);
    assert_eq!(server.get("/static/x").text(), "another");
    assert!(server.stdout().contains("\nAlso: the files in ./none at /static\n"), "{}", server.stdout());

    let check = |options: &[&str]| {
        let output = Command::new(TINE).args(["check", "app.lua"]).args(options).current_dir(&folder).output();
        String::from_utf8(output.expect("tine runs").stdout).expect("UTF-8")
    };
    assert!(check(&[]).contains(&format!("\nalso {line}")), "{}", check(&[]));
    assert!(!check(&["--static", "none"]).contains("also "));
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn without_an_application_none_serves_the_origin() {
    let server = Server::start(&["--workers", "1", "--static", "none"]);
    assert_eq!(server.get("/health").status, 200);
}
