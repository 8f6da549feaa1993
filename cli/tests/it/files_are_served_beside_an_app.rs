//! Files and an application on one address: the files have their prefix, in whole segments, and the app has the rest.

use crate::apps;
use crate::support::site::Site;

#[test]
fn the_prefix_decides_and_nothing_else() {
    let site = Site::of(&[("x", b"a file"), ("index.html", b"an index")]);
    let server = apps::serve("files_beside_app", &["--workers", "1", "--assets", site.text()]);
    for (path, status, text) in [
        ("/assets/x", 200, "a file"),
        ("/assets/", 200, "an index"),
        ("/%61ssets/x", 200, "a file"),
        ("/assets/none", 404, "404 Not Found: there is no such file\n"),
        ("/assets/../x", 404, "404 Not Found: there is no such file\n"),
        ("/assets//x", 404, "404 Not Found: there is no such file\n"),
        ("/", 200, "hello from /\n"),
        ("/x", 200, "hello from /x\n"),
        ("/assetsx", 200, "hello from /assetsx\n"),
        ("/Assets/x", 200, "hello from /Assets/x\n"),
        ("/asset", 200, "hello from /asset\n"),
        ("//assets/x", 200, "hello from //assets/x\n"),
        ("/./assets/x", 200, "hello from /./assets/x\n"),
        ("/y/../assets/x", 200, "hello from /y/../assets/x\n"),
        ("/assets%2Fx", 200, "hello from /assets%2Fx\n"),
    ] {
        let response = server.get(path);
        assert_eq!((response.status, response.text().as_str()), (status, text), "{path}");
    }
    let response = server.get("/assets?q=1");
    assert_eq!((response.status, response.header("location")), (301, Some("/assets/?q=1")));
}

#[test]
fn files_alone_can_have_a_prefix() {
    let site = Site::of(&[("x", b"a file")]);
    let server = site.serve(&["--static-url", "/deep/down/"]);
    for (path, status) in [("/deep/down/x", 200), ("/x", 404), ("/deep/x", 404), ("/deep", 404), ("/", 404)] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    assert_eq!(server.get("/deep/down").header("location"), Some("/deep/down/"));
}
