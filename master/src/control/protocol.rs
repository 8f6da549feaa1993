//! The messages of the control socket: a request is one JSON line, an answer one or more JSON lines (docs/control.md).
//!
//! Used by both ends. The server reads requests strictly, since it acts on them; the client reads answers leniently.

use crate::command::Command;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tine_common::status::Status;

/// The longest request, with its line feed.
pub const REQUEST_BYTES_MAX: usize = 4096;
/// The longest line of an answer. The status of 1024 workers, each with its requests in flight, takes half of it.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A client's request is one command: `{"command":"scale","workers":4}`.
impl Command {
    /// Parses a line; the error says what is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Command, String> {
        let wrong = |why: String| format!("invalid request: {why}; a valid one is {{\"command\":\"status\"}}");
        let value: Value = serde_json::from_slice(line).map_err(|e| wrong(e.to_string()))?;
        let request = Command::deserialize(&value).map_err(|e| wrong(e.to_string()))?;
        // An unknown field may be the point of the request, but serde accepts it beside a command without fields.
        let understood = serde_json::to_value(&request).map_err(|e| wrong(e.to_string()))?;
        match value.as_object() {
            Some(fields) if fields.keys().all(|name| understood.get(name).is_some()) => Ok(request),
            _ => Err(wrong("this command does not have all of these fields".to_string())),
        }
    }

    pub fn line(&self) -> String {
        let text = serde_json::to_string(self).expect("names and numbers are JSON");
        text + "\n"
    }
}

/// The outcome of a request that succeeded.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Answer {
    /// What was done, for humans: `generation 3 serves with 16 workers`.
    pub said: Option<String>,
    pub status: Option<Status>,
}

impl Answer {
    pub fn said(text: impl Into<String>) -> Self {
        Answer { said: Some(text.into()), status: None }
    }

    pub fn status(status: Status) -> Self {
        Answer { said: None, status: Some(status) }
    }
}

/// One line of an answer. The one with `ok` is the last.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

impl Line {
    pub fn progress(text: &str) -> Self {
        Line { said: Some(text.to_string()), ..Line::default() }
    }

    pub fn end(outcome: Result<Answer, String>) -> Self {
        match outcome {
            Ok(Answer { said, status }) => Line { ok: Some(true), said, status, error: None },
            Err(error) => Line { ok: Some(false), error: Some(error), ..Line::default() },
        }
    }

    /// With its line feed.
    pub fn text(&self) -> String {
        let text = serde_json::to_string(self).expect("strings and finite numbers are JSON");
        text + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_they_are_written() {
        for (line, request) in [
            (r#"{"command":"status"}"#, Command::Status),
            (r#"{"command":"workers"}"#, Command::Workers),
            (r#"{"command":"reload"}"#, Command::Reload),
            (r#"{"command":"upgrade"}"#, Command::Upgrade),
            (r#"{"command":"scale","workers":4}"#, Command::Scale { workers: 4 }),
            (r#"{"command":"add"}"#, Command::Add),
            (r#"{"command":"remove"}"#, Command::Remove),
            (r#"{"command":"drain","slot":0}"#, Command::Drain { slot: 0 }),
            (r#"{"command":"recycle","slot":15}"#, Command::Recycle { slot: 15 }),
            (r#"{"command":"reopen-logs"}"#, Command::ReopenLogs),
            (r#"{"command":"limit","set":[]}"#, Command::Limit { set: Vec::new() }),
            (
                r#"{"command":"limit","set":["concurrency=200","rate=off"]}"#,
                Command::Limit { set: ["concurrency=200", "rate=off"].map(|text| text.parse().expect("one")).into() },
            ),
            (r#"{"command":"stop"}"#, Command::Stop),
        ] {
            assert_eq!(request.line(), format!("{line}\n"));
            assert_eq!(Command::parse(line.as_bytes()), Ok(request.clone()), "{line}");
            assert_eq!(Command::parse(format!(" {line}\r").as_bytes()), Ok(request), "spaces around {line}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for line in [
            &b"status"[..],
            b"{}",
            b"[]",
            b"\xff\xfe",
            b"null",
            br#"{"command":"explode"}"#,
            br#"{"command":"status","more":1}"#,
            br#"{"command":"scale"}"#,
            br#"{"command":"scale","workers":-1}"#,
            br#"{"command":"scale","workers":1.5}"#,
            br#"{"command":"scale","workers":"4"}"#,
            br#"{"command":"drain","workers":4}"#,
            br#"{"command":"limit","concurrency":200}"#,
            br#"{"command":"limit","set":["concurrency=many"]}"#,
            br#"{"command":"limit","set":"concurrency=200"}"#,
            br#"{"command":"stop"}{"command":"stop"}"#,
            b"GET / HTTP/1.1\r",
        ] {
            let error = Command::parse(line).expect_err("it is none");
            assert!(error.contains(r#"{"command":"status"}"#) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_last_line_says_ok_or_error() {
        assert_eq!(Line::progress("worker 2 ready, 3 of 16").text(), "{\"said\":\"worker 2 ready, 3 of 16\"}\n");
        assert_eq!(Line::end(Ok(Answer::default())).text(), "{\"ok\":true}\n");
        assert_eq!(Line::end(Err("no\n\"way\"".into())).text(), "{\"ok\":false,\"error\":\"no\\n\\\"way\\\"\"}\n");
        let line = Line::end(Ok(Answer::status(Status { pid: 7, ..Status::default() }))).text();
        let read: Line = serde_json::from_str(&line).unwrap();
        assert_eq!(read.status.unwrap().pid, 7);
    }
}
