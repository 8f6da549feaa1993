//! `--log-format json`: each line is an object, `{"time":…,"level":…,"process":…,"pid":…,"message":…}`.
//!
//! A line is made as text, with the beginning of the object as its head; the rest becomes the message on its way out.
//! So what writes a line need not know its format. Also for signal handlers: nothing is allocated.

use super::head::push_time;
use crate::escape;
use crate::fixed_text::FixedText;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static IS_IT: AtomicBool = AtomicBool::new(false);
/// Ends a head.
const MESSAGE: &[u8] = b"\"message\":\"";
/// Ends a line.
const END: &[u8] = b"\"}\n";

/// How the lines of the log are written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object of JSON each.
    Json,
}

impl LogFormat {
    /// The name that `--log-format` has for it.
    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }

    /// From now on the lines of this process, and of those that it forks, have this format.
    pub fn put_in_place(self) {
        IS_IT.store(self == LogFormat::Json, Ordering::Relaxed);
    }
}

impl std::str::FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("give text or json".to_string()),
        }
    }
}

pub(super) fn is_it() -> bool {
    IS_IT.load(Ordering::Relaxed)
}

/// The beginning of an object, up to its message.
pub(super) fn push_head(text: &mut FixedText, level: &str, process_name: &str) {
    text.push("{\"time\":\"");
    push_time(text, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    text.push("\",\"level\":\"");
    level.chars().for_each(|c| text.push(c.to_ascii_lowercase().encode_utf8(&mut [0; 4])));
    // Writing to this cannot fail.
    let _ = write!(text, "\",\"process\":\"{process_name}\",\"pid\":{},\"message\":\"", std::process::id());
}

/// Passes on a line that begins with a head, as an object.
pub(super) fn line(line: &[u8], mut push: impl FnMut(&[u8])) {
    let line = line.trim_ascii_end();
    let head = memchr::memmem::find(line, MESSAGE).map_or(0, |at| at + MESSAGE.len());
    push(&line[..head]);
    escape::json(&line[head..], &mut push);
    push(END);
}

/// The same in a text of fixed size; what does not fit of the message is dropped.
pub(super) fn fixed_line(text: &[u8]) -> FixedText {
    let mut fixed = FixedText::default();
    line(text, |piece| {
        let room = fixed.room().saturating_sub(if piece == END { 0 } else { END.len() });
        // A piece of the message is a run of ASCII, or a character.
        let fits = if piece.len() <= room {
            piece
        } else {
            &piece[..if piece.is_ascii() && piece[0] != b'\\' { room } else { 0 }]
        };
        fixed.push(std::str::from_utf8(fits).unwrap_or_default());
    });
    fixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_object_whatever_it_says() {
        let mut head = FixedText::default();
        push_head(&mut head, "ERROR", "worker 3");
        for message in
            ["", "plain", "a \"b\" \\ c\n  d\u{1b}[1m", "\"message\":\"", &"é\"".repeat(3000), &"x".repeat(9000)]
        {
            let text = [head.as_bytes(), message.as_bytes(), b"\n"].concat();
            let mut whole = Vec::new();
            line(&text, |piece| whole.extend_from_slice(piece));
            let read: serde_json::Value = serde_json::from_slice(&whole).expect("JSON");
            assert_eq!((&read["level"], &read["process"]), (&"error".into(), &"worker 3".into()));
            assert_eq!(read["message"], message);
            let fixed = fixed_line(&text);
            let cut: serde_json::Value = serde_json::from_slice(fixed.as_bytes()).expect("JSON");
            let said = cut["message"].as_str().expect("a string");
            assert!(message.starts_with(said) && (said == message || fixed.as_bytes().len() > 4000), "{said}");
        }
    }
}
