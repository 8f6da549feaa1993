//! How a call ends: a code and a message, in the fields `grpc-status` and `grpc-message`.

use std::borrow::Cow;
use std::fmt;

/// Clients limit what the fields of a response may have, so a longer message is cut.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// The codes of gRPC (its statuscodes.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs)] // the names are those of gRPC
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// How a call ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// One of [`Code`], or any other that a client is to see.
    code: i32,
    message: Cow<'static, str>,
}

impl Status {
    /// The call was answered.
    pub const OK: Status = Status { code: 0, message: Cow::Borrowed("") };

    /// The message is for the client.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Status {
        Status::of_number(code as i32, message)
    }

    /// With a code that gRPC may not know.
    pub fn of_number(code: i32, message: impl Into<Cow<'static, str>>) -> Status {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            let end = (0..=MESSAGE_BYTES_MAX).rev().find(|&at| message.is_char_boundary(at));
            message.to_mut().truncate(end.unwrap_or_default());
        }
        Status { code, message }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.code == 0
    }

    /// The value of `grpc-status`.
    pub(super) fn number(&self) -> Cow<'static, str> {
        match self.code {
            0 => Cow::Borrowed("0"),
            // It has digits alone; other servers show a negative one so, too.
            code => Cow::Owned((code as u32).to_string()),
        }
    }

    /// The value of `grpc-message`: percent-encoded but for printable ASCII (PROTOCOL-HTTP2.md). `None`: there is none.
    pub(super) fn encoded_message(&self) -> Option<Cow<'static, str>> {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
        if self.message.is_empty() {
            return None;
        }
        // A space at an end would not be part of the field's value.
        let ends_plain = self.message.trim_matches(' ').len() == self.message.len();
        if ends_plain && self.message.bytes().all(is_plain) {
            return Some(self.message.clone());
        }
        let last = self.message.len() - 1;
        let mut encoded = String::with_capacity(self.message.len() * 3);
        for (at, byte) in self.message.bytes().enumerate() {
            match is_plain(byte) && !(byte == b' ' && (at == 0 || at == last)) {
                true => encoded.push(char::from(byte)),
                false => encoded.push_str(&format!("%{byte:02X}")),
            }
        }
        Some(Cow::Owned(encoded))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_encoded_as_far_as_they_have_to_be() {
        for (message, expected) in [
            ("", None),
            ("plain, ~ text", Some("plain, ~ text")),
            ("100 %", Some("100 %25")),
            (" x ", Some("%20x%20")),
            (" ", Some("%20")),
            ("a\r\nb\t", Some("a%0D%0Ab%09")),
            ("é€", Some("%C3%A9%E2%82%AC")),
            ("\u{7f}", Some("%7F")),
        ] {
            assert_eq!(Status::new(Code::Unknown, message).encoded_message().as_deref(), expected, "{message:?}");
        }
    }

    #[test]
    fn a_status_is_written_in_digits() {
        for (code, expected) in [(0, "0"), (16, "16"), (99, "99"), (-1, "4294967295"), (i32::MIN, "2147483648")] {
            assert_eq!(Status::of_number(code, "").number(), expected);
        }
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        for (message, expected) in [("a".repeat(5000), 4096), ("é".repeat(5000), 4096), ("€".repeat(5000), 4095)] {
            let status = Status::new(Code::Unknown, message.clone());
            assert!(status.message.len() == expected && message.starts_with(&*status.message));
        }
    }
}
