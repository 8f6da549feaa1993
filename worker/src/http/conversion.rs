//! From and to the types of the crate `http`, for code that is written against them.

use super::{Body, Fields, Head, Request, Response, Version};
use http::header::{self, HeaderMap, HeaderName};
use http::response::Parts;

/// Fields that are about one connection or frame one message (RFC 9110, 7.6.1), which the server does for its own.
const DROPPED: [HeaderName; 4] = [header::CONNECTION, header::TE, header::TRAILER, header::TRANSFER_ENCODING];
/// The same, without a constant.
const DROPPED_TOO: [&str; 2] = ["keep-alive", "proxy-connection"];

impl Request<'_> {
    /// The head as a request of the crate `http`, without its body. The target stays as it was sent: in origin-form the URI
    /// has no authority, so the host is in the field Host alone. Names are in lower case, values are bytes.
    ///
    /// The error: the crate has no such URI, as with a `"` or a `<` in the path, or there are too many fields for it.
    ///
    /// ```
    /// # extern crate tine_worker as tine;
    /// use tine::app::{Answer, App, Cx};
    /// use tine::http::{Request, Response, StatusCode};
    /// use tine::testing::Client;
    ///
    /// /// Written for any server.
    /// fn handle(request: http::Request<()>) -> http::Response<String> {
    ///     http::Response::new(format!("{} {}\n", request.method(), request.uri().path()))
    /// }
    ///
    /// struct Handler;
    ///
    /// impl App for Handler {
    ///     fn call(&mut self, request: &Request<'_>, _: &Cx<'_>) -> Answer {
    ///         match request.to_http() {
    ///             Ok(request) => Response::from(handle(request)).into(),
    ///             Err(e) => Response::text(StatusCode::BAD_REQUEST, format!("{e}\n")).into(),
    ///         }
    ///     }
    /// }
    ///
    /// assert_eq!(Client::new(Handler).get("/a?b").text(), "GET /a\n");
    /// ```
    pub fn to_http(&self) -> Result<http::Request<()>, http::Error> {
        let version = match self.version() {
            Version::Http10 => http::Version::HTTP_10,
            Version::Http11 => http::Version::HTTP_11,
            Version::Http2 => http::Version::HTTP_2,
        };
        let request = http::Request::builder().method(self.method()).uri(self.target()).version(version);
        self.headers().iter().fold(request, |request, (name, value)| request.header(name, value)).body(())
    }
}

impl From<Parts> for Head {
    /// Status and fields; fields of several values keep their order. A Content-Length is the declared length, and
    /// `Connection: close` ends the connection after the response. Other fields that are about the connection, such as
    /// Transfer-Encoding, are dropped: the server sets its own. So are the version and the extensions.
    fn from(parts: Parts) -> Head {
        let mut head = Head::new(parts.status);
        let mut fields = Fields::with_capacity(32 * parts.headers.len());
        for (name, value) in &parts.headers {
            if name == header::CONTENT_LENGTH {
                let length = value.to_str().ok().and_then(|text| text.parse().ok());
                // One that is not a number is longer than the longest, and refused as such.
                head = head.length(length.unwrap_or(u64::MAX));
            } else if !DROPPED.contains(name) && !DROPPED_TOO.contains(&name.as_str())
                // Fields that only a final server may send, such as Proxy-Authenticate and Upgrade.
                && fields.push(name.as_str().as_bytes(), value.as_bytes()).is_err()
            {
                head = head.header(name.as_str().to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned());
            }
        }
        if closes(&parts.headers) {
            head = head.close();
        }
        head.fields(fields)
    }
}

fn closes(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::CONNECTION).into_iter().map(|list| list.as_bytes());
    lists.flat_map(|list| list.split(|&b| b == b',')).any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

impl<B: Into<Body>> From<http::Response<B>> for Response {
    /// See [`Head`]; the length is that of the body, whatever was declared. A declared one counts for a response to HEAD.
    fn from(response: http::Response<B>) -> Response {
        let (parts, body) = response.into_parts();
        Response::with_head(parts.into(), body)
    }
}

impl From<()> for Body {
    fn from((): ()) -> Body {
        Body::Static(b"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Answer, App, Cx};
    use crate::http1::test_client::with_request;
    use crate::testing::{self, Client};
    use bytes::Bytes;
    use tine_common::config::Limits;

    fn to_http(head: &[u8]) -> Result<http::Request<()>, String> {
        with_request(head, &Limits::default(), |request| request.to_http().map_err(|e| e.to_string()))
    }

    #[test]
    fn a_request_keeps_its_bytes() {
        let head = b"M-SEARCH /a%20b?c=%zz HTTP/1.0\r\nHost: h\r\nX-Latin: caf\xe9\r\nx-two: 1\r\nX-Other:\tx\r\nX-TWO: \r\n\r\n";
        let request = to_http(head).expect("a request");
        assert_eq!((request.method().as_str(), request.version()), ("M-SEARCH", http::Version::HTTP_10));
        assert_eq!((request.uri().path(), request.uri().query()), ("/a%20b", Some("c=%zz")));
        let all =
            |name: &str| request.headers().get_all(name).iter().map(|v| v.as_bytes().to_vec()).collect::<Vec<_>>();
        assert_eq!(all("x-two"), [b"1".to_vec(), b"".to_vec()], "several keep their order");
        assert_eq!((all("X-Latin"), all("x-other")), (vec![b"caf\xe9".to_vec()], vec![b"x".to_vec()]));
        assert_eq!(request.headers().len(), 5);
    }

    #[test]
    fn a_target_keeps_its_form() {
        for (line, authority, path, query) in [
            ("GET / HTTP/1.1", None, "/", None),
            ("GET //a/../b HTTP/1.1", None, "//a/../b", None),
            ("GET /? HTTP/1.1", None, "/", Some("")),
            ("GET http://u.example:81/p?q HTTP/1.1", Some("u.example:81"), "/p", Some("q")),
            ("GET http://u.example HTTP/1.1", Some("u.example"), "/", None),
            ("GET http://[::1]:81?q HTTP/1.1", Some("[::1]:81"), "/", Some("q")),
            ("OPTIONS * HTTP/1.1", None, "*", None),
        ] {
            let request = to_http(format!("{line}\r\nHost: h\r\n\r\n").as_bytes()).expect(line);
            let uri = request.uri();
            assert_eq!(
                (uri.authority().map(|a| a.as_str()), uri.path(), uri.query()),
                (authority, path, query),
                "{line}"
            );
        }
    }

    #[test]
    fn a_target_that_the_other_crate_does_not_have_is_an_error() {
        assert_eq!(to_http(b"GET /a<b HTTP/1.1\r\nHost: h\r\n\r\n").expect_err("no URI"), "invalid uri character");
    }

    /// Answers every request with a response of the crate `http`.
    struct Other(fn() -> http::Response<Bytes>);

    impl App for Other {
        fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
            Response::from((self.0)()).into()
        }
    }

    fn answer(method: &str, other: fn() -> http::Response<Bytes>) -> testing::Response {
        Client::new(Other(other)).request(method, "/", &[("Host", "t")], b"")
    }

    fn of(fields: &[(&str, &[u8])]) -> http::Response<Bytes> {
        let response = http::Response::builder().status(203);
        let response = fields.iter().fold(response, |response, (name, value)| response.header(*name, *value));
        response.body(Bytes::from_static(b"text")).expect("a response")
    }

    #[test]
    fn a_response_keeps_status_fields_and_body() {
        let response = answer("GET", || {
            of(&[("set-cookie", b"a=1"), ("content-type", b"text/x"), ("set-cookie", b"b=2"), ("upgrade", b"h2c")])
        });
        assert_eq!((response.status, response.text()), (203, "text"));
        let cookies = response.headers.iter().filter(|(name, _)| name == "set-cookie");
        assert_eq!(cookies.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!(response.header("content-type"), Some("text/x"));
        assert_eq!((response.header("upgrade"), response.header("connection")), (Some("h2c"), Some("upgrade, close")));
    }

    #[test]
    fn the_connection_is_the_servers() {
        let response = answer("GET", || {
            of(&[
                ("transfer-encoding", b"chunked"),
                ("keep-alive", b"timeout=5"),
                ("content-length", b"9000"),
                ("te", b"x"),
            ])
        });
        assert_eq!((response.status, response.text(), response.header("content-length")), (203, "text", Some("4")));
        for name in ["transfer-encoding", "keep-alive", "te"] {
            assert_eq!(response.header(name), None, "{name}");
        }
        for (value, closes) in [(&b"x-hop, Close"[..], true), (b"keep-alive", false), (b"closed", false)] {
            let (parts, _) = of(&[("connection", value)]).into_parts();
            assert_eq!(Head::from(parts).closes(), closes, "{value:?}");
        }
        let proxy = answer("GET", || of(&[("proxy-authenticate", b"Basic")]));
        assert_eq!(proxy.header("proxy-authenticate"), Some("Basic"));
    }

    #[test]
    fn a_declared_length_counts_for_head() {
        let of_head = || {
            let mut response = of(&[("content-length", b"9000")]);
            *response.body_mut() = Bytes::new();
            response
        };
        let response = answer("HEAD", of_head);
        assert_eq!((response.header("content-length"), response.body.len()), (Some("9000"), 0));
        let wrong = answer("GET", || of(&[("content-length", b"many")]));
        assert_eq!(wrong.status, 500, "a length that is not a number is the application's mistake");
    }

    #[test]
    fn values_need_not_be_text() {
        let (parts, ()) = http::Response::builder().header("x-latin", &b"caf\xe9\t"[..]).body(()).unwrap().into_parts();
        assert_eq!(Head::from(parts).lines.lines, b"x-latin: caf\xe9\t\r\n");
    }

    #[test]
    fn bodies_of_every_kind_convert() {
        let body = |response: Response| response.body.as_slice().to_vec();
        for response in [
            Response::from(http::Response::new("text")),
            Response::from(http::Response::new("text".to_string())),
            Response::from(http::Response::new(b"text".to_vec())),
            Response::from(http::Response::new(Bytes::from_static(b"text"))),
        ] {
            assert_eq!(body(response), b"text");
        }
        assert_eq!(body(Response::from(http::Response::new(()))), b"");
    }
}
