//! `/` and every unknown path: the request as JSON, its body up to 1 MiB of it.

use super::json_text::JsonText;
use super::status;
use serde_json::{Map, Value, json};
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::{Head, Request, Response, StatusCode};

/// How much of a body is echoed. All of it is counted.
const ECHOED_BYTES_MAX: usize = 1 << 20;

pub const JSON: &str = "application/json";

pub fn answer(request: &Request<'_>, cx: &Cx<'_>, hostname: &str) -> Answer {
    answer_as(RequestJson::new(request, cx, hostname), request, StatusCode::OK, JSON)
}

/// Responds with `json` once the body has been read: at once if there is none.
pub fn answer_as(json: RequestJson, request: &Request<'_>, status: StatusCode, content_type: &'static str) -> Answer {
    if !request.has_body() {
        let reply = json.finish(EchoedBody::default());
        let body = [reply.start, reply.end].concat();
        return Response::with_head(head(status, content_type, body.len() as u64), body).into();
    }
    Answer::exchange(Echo::new(json, status, content_type))
}

fn head(status: StatusCode, content_type: &'static str, length: u64) -> Head {
    status::with_required_fields(Head::new(status).content_type(content_type), status, length)
}

/// What the origin reports about a request, except for the body. As JSON the fields are in hpdummy's order: the head,
/// the body, the usage, the addresses, and what the endpoint adds.
#[derive(Default)]
pub struct RequestJson {
    head: Map<String, Value>,
    source_addr: String,
    destination_addr: String,
    has_no_usage: bool,
    added: Map<String, Value>,
}

/// What is kept of a body.
#[derive(Default)]
pub struct EchoedBody {
    start: Vec<u8>,
    pub size: u64,
    pub is_ended: bool,
}

impl RequestJson {
    pub fn new(request: &Request<'_>, cx: &Cx<'_>, hostname: &str) -> Self {
        let mut headers = Map::new();
        for (name, value) in request.headers().iter() {
            headers.insert(canonical(name), String::from_utf8_lossy(value).into());
        }
        let content_type = request.headers().get("content-type").unwrap_or_default();
        let mut head = Map::new();
        head.insert("_myhostname".into(), hostname.into());
        head.insert("uri".into(), uri(request, cx).into());
        head.insert("method".into(), request.method().into());
        head.insert("headers".into(), headers.into());
        head.insert("content_type".into(), String::from_utf8_lossy(content_type).into());
        let address = |address: Option<std::net::SocketAddr>| address.map_or("unix".to_string(), |a| a.to_string());
        RequestJson {
            head,
            source_addr: address(cx.peer_address()),
            destination_addr: address(cx.local_address()),
            has_no_usage: false,
            added: Map::new(),
        }
    }

    /// Adds a field of the endpoint's own.
    pub fn insert(&mut self, name: &str, value: impl Into<Value>) {
        self.added.insert(name.into(), value.into());
    }

    /// `"usage":{}`
    pub fn without_usage(mut self) -> Self {
        self.has_no_usage = true;
        self
    }

    pub fn finish(self, body: EchoedBody) -> Reply {
        let RequestJson { mut head, source_addr, destination_addr, has_no_usage, added } = self;
        head.insert("body".into(), "".into());
        let mut start = Value::Object(head).to_string();
        start.truncate(start.len() - "\"}".len());
        let is_truncated = body.size > body.start.len() as u64 && !body.start.is_empty();
        let mut after = Map::new();
        after.insert("body_size".into(), body.size.into());
        if is_truncated {
            after.insert("body_truncated".into(), true.into());
        }
        let usage = if has_no_usage {
            json!({})
        } else {
            json!({"prompt_tokens": 1, "completion_tokens": 2, "input_tokens": 100, "output_tokens": 200, "total_tokens": 300})
        };
        after.insert("usage".into(), usage);
        after.insert("source_addr".into(), source_addr.into());
        after.insert("destination_addr".into(), destination_addr.into());
        after.extend(added);
        let text_end = if is_truncated { "...[TRUNCATED]" } else { "" };
        let end = format!("{text_end}\",{}", &Value::Object(after).to_string()["{".len()..]);
        Reply { start, text: JsonText::new(body.start), end }
    }
}

impl EchoedBody {
    /// Keeps what is echoed, counts the rest.
    pub fn push(&mut self, body: &[u8], end: bool) {
        let room = ECHOED_BYTES_MAX - self.start.len();
        self.start.extend_from_slice(&body[..body.len().min(room)]);
        self.count(body, end);
    }

    /// Counts only.
    pub fn count(&mut self, body: &[u8], end: bool) {
        self.size += body.len() as u64;
        self.is_ended = end;
    }
}

/// The whole response of an exchange that responds with JSON. The echoed body is escaped as the client reads, because
/// it can be six times as long when escaped.
pub struct Reply {
    /// Up to the opening quote of the body's text; empty once written.
    start: String,
    text: JsonText,
    /// From the end of the body's text on; empty once written.
    end: String,
}

impl Reply {
    /// Of the whole response body, in bytes.
    pub fn length(&self) -> u64 {
        (self.start.len() + self.end.len()) as u64 + self.text.escaped_bytes()
    }

    /// The next piece; `None` at the end.
    pub fn take_piece(&mut self) -> Option<String> {
        if !self.start.is_empty() {
            return Some(std::mem::take(&mut self.start));
        }
        self.text.take_piece().or_else(|| Some(std::mem::take(&mut self.end)).filter(|end| !end.is_empty()))
    }

    /// Writes head and body as far as there is room; called again while it returns [`Pull::More`].
    pub fn write(&mut self, out: &mut Out<'_>) -> Result<Pull, AppError> {
        self.write_as(StatusCode::OK, JSON, out)
    }

    fn write_as(
        &mut self,
        status: StatusCode,
        content_type: &'static str,
        out: &mut Out<'_>,
    ) -> Result<Pull, AppError> {
        if !out.has_head() {
            let length = self.length();
            out.head(head(status, content_type, length).length(length))?;
        }
        self.write_body(out)
    }

    /// The same, after the head has been written.
    pub fn write_body(&mut self, out: &mut Out<'_>) -> Result<Pull, AppError> {
        while out.has_room() {
            match self.take_piece() {
                Some(piece) => out.write(piece.as_bytes())?,
                None => return Ok(Pull::End),
            }
        }
        Ok(Pull::More)
    }
}

/// Reads the body, then responds.
pub struct Echo {
    json: RequestJson,
    body: EchoedBody,
    /// Set once the body has ended.
    reply: Option<Reply>,
    status: StatusCode,
    content_type: &'static str,
}

impl Echo {
    pub fn new(json: RequestJson, status: StatusCode, content_type: &'static str) -> Self {
        Echo { json, body: EchoedBody::default(), reply: None, status, content_type }
    }
}

impl Exchange for Echo {
    fn push(&mut self, body: &[u8], end: bool, _: &Cx<'_>) -> Result<usize, AppError> {
        self.body.push(body, end);
        Ok(body.len())
    }

    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        if let Some(reply) = &mut self.reply {
            return reply.write_as(self.status, self.content_type, out);
        }
        if !self.body.is_ended {
            return Ok(Pull::Idle);
        }
        let json = std::mem::take(&mut self.json);
        let reply = self.reply.insert(json.finish(std::mem::take(&mut self.body)));
        reply.write_as(self.status, self.content_type, out)
    }
}

/// What the request is for, in full. `*` is the server itself, an authority without a path (RFC 9112, 3.3).
fn uri(request: &Request<'_>, cx: &Cx<'_>) -> String {
    let (root, path) = if request.path() == "*" { ("", "") } else { (cx.worker().root_path, request.path()) };
    let query = request.query().map_or(String::new(), |query| format!("?{query}"));
    format!("{}://{}{root}{path}{query}", request.scheme(), cx.host_of(request))
}

/// `content-type` as `Content-Type`.
fn canonical(name: &str) -> String {
    let mut starts_word = true;
    name.chars()
        .map(|c| {
            let cased = if starts_word { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            starts_word = c == '-';
            cased
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_canonical() {
        for (name, expected) in [("host", "Host"), ("CONTENT-TYPE", "Content-Type"), ("x-a-b", "X-A-B"), ("-", "-")] {
            assert_eq!(canonical(name), expected);
        }
    }

    #[test]
    fn a_long_body_is_cut_and_counted() {
        let mut body = EchoedBody::default();
        for _ in 0..3 {
            body.push(&[b'x'; 600_000], false);
        }
        body.push(b"", true);
        assert_eq!((body.start.len(), body.size, body.is_ended), (ECHOED_BYTES_MAX, 1_800_000, true));
        let json: Value = serde_json::from_str(&whole(body)).unwrap();
        assert_eq!(json["body_truncated"], true);
        assert!(json["body"].as_str().unwrap().ends_with("x...[TRUNCATED]"));
    }

    /// The whole reply to a request that has only a method.
    fn whole(body: EchoedBody) -> String {
        let mut json = RequestJson { source_addr: "a:1".into(), destination_addr: "b:2".into(), ..Default::default() };
        json.head.insert("method".into(), "PUT".into());
        json.insert("own", 7);
        text(json.finish(body))
    }

    fn text(mut reply: Reply) -> String {
        let length = reply.length();
        let whole: String = std::iter::from_fn(|| reply.take_piece()).collect();
        assert_eq!(whole.len() as u64, length);
        whole
    }

    #[test]
    fn the_fields_are_in_hpdummys_order() {
        let usage = r#""usage":{"prompt_tokens":1,"completion_tokens":2,"input_tokens":100,"output_tokens":200,"total_tokens":300}"#;
        let after = format!(r#"{usage},"source_addr":"a:1","destination_addr":"b:2","own":7"#);
        for (start, size, expected) in [
            ("", 0, r#""body":"","body_size":0"#),
            ("", 9, r#""body":"","body_size":9"#),
            ("\"\n", 2, r#""body":"\"\n","body_size":2"#),
            ("a\0", 9, r#""body":"a\u0000...[TRUNCATED]","body_size":9,"body_truncated":true"#),
        ] {
            let body = EchoedBody { start: start.into(), size, is_ended: true };
            assert_eq!(whole(body), format!(r#"{{"method":"PUT",{expected},{after}}}"#));
        }
        let without = text(RequestJson::default().without_usage().finish(EchoedBody::default()));
        assert_eq!(without, r#"{"body":"","body_size":0,"usage":{},"source_addr":"","destination_addr":""}"#);
    }
}
