//! `/cookies/{n}` sets n cookies and lists those in the request.

use crate::support::Server;
use serde_json::{Value, json};
use std::process::Command;

#[test]
fn cookies_are_set_and_listed() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (n, cookies, listed) in [
        (0, "", json!({})),
        (1, "Cookie: a=1\r\n", json!({"a": "1"})),
        (3, "Cookie: b=2; a=\"1 x\";c;;d==\r\n", json!({"b": "2", "a": "\"1 x\"", "c": "", "d": "="})),
        (1000, "cookie: a=1; b=2\r\nCOOKIE: a=3\r\n", json!({"a": "3", "b": "2"})),
    ] {
        client.send(format!("GET /cookies/{n} HTTP/1.1\r\nHost: t\r\n{cookies}\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
        let set: Vec<&str> = response.headers("set-cookie").collect();
        let expected: Vec<String> = (1..=n).map(|i| format!("cookie-{i}=value-{i}; Path=/")).collect();
        assert_eq!(set, expected);
        let json: Value = serde_json::from_slice(&response.body).expect("JSON");
        assert_eq!(json, json!({"set": n, "cookies": listed}));
    }
}

/// curl sends back the cookies that it was given.
#[test]
fn a_client_sends_them_back() {
    let server = Server::start(&["--workers", "1"]);
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "-b", "", "-o", "/dev/null", &server.url("/cookies/2")])
        .args(["--next", "-sS", "--max-time", "20", "-b", "", &server.url("/cookies/0")])
        .output()
        .expect("curl runs");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(json["cookies"], json!({"cookie-1": "value-1", "cookie-2": "value-2"}));
}

#[test]
fn a_wrong_number_is_explained() {
    let server = Server::start(&["--workers", "1"]);
    for n in ["", "x", "-1", "1001", "1/2", "99999999999999999999"] {
        let response = server.get(&format!("/cookies/{n}"));
        let text = match n {
            "" => "Please specify how many: /cookies/3; /cookies/0 sets none\n".to_string(),
            _ => format!("the number of cookies must be a whole number from 0 to 1000, not {n:?}\n"),
        };
        assert_eq!((response.status, response.text()), (400, text));
    }
}
