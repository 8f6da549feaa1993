//! The directory `static` beside a Lua application is served below /static without an option; another directory and
//! another path can be given. The application never gets a request for these paths.

use crate::support::site::Site;
use crate::support::{Server, TINE};
use std::process::Command;

const APP: &[u8] = b"return function(environ, start_response)
    start_response('200 OK', {{'Content-Type', 'text/plain'}})
    return {'the app at ' .. environ.PATH_INFO}
end
";

/// The application `app.lua` of the site, started in its directory.
fn serve(site: &Site, options: &[&str]) -> Server {
    let mut command = Command::new(TINE);
    command.args(["run", "app.lua", "0", "--workers", "1"]).args(options);
    Server::start_command(command.current_dir(site.path("")))
}

fn check(server: &Server, table: &[(&str, u16, &str)]) {
    for (path, status, text) in table {
        let response = server.get(path);
        assert_eq!((response.status, response.text().as_str()), (*status, *text), "{path}");
    }
}

const ABSENT: &str = "404 Not Found: there is no such file\n";

#[test]
fn the_directory_static_is_served_without_an_option() {
    let site = Site::of(&[("app.lua", APP), ("static/x.txt", b"a file")]);
    let server = serve(&site, &[]);
    check(
        &server,
        &[
            ("/", 200, "the app at /"),
            ("/static/x.txt", 200, "a file"),
            ("/static/none", 404, ABSENT),
            ("/static/../app.lua", 404, ABSENT),
            ("/statics", 200, "the app at /statics"),
        ],
    );
}

#[test]
fn without_a_static_directory_the_app_gets_all_paths() {
    let site = Site::of(&[("app.lua", APP)]);
    check(&serve(&site, &[]), &[("/static/x.txt", 200, "the app at /static/x.txt")]);
}

#[test]
fn another_directory_and_another_path_can_be_given() {
    let site = Site::of(&[("app.lua", APP), ("static/x.txt", b"not this"), ("public/x.txt", b"a file")]);
    let server = serve(&site, &["--static", "public", "--static-url", "/assets"]);
    check(
        &server,
        &[
            ("/assets/x.txt", 200, "a file"),
            ("/static/x.txt", 200, "the app at /static/x.txt"),
            ("/", 200, "the app at /"),
        ],
    );
}
