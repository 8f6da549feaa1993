//! Local time as text, by the C library: strftime(3).

use std::ffi::CStr;
use std::mem::MaybeUninit;

/// More than any sensible format comes to.
const BYTES_MAX: usize = 512;

/// Appends the time to `text`; nothing if the format comes to more than 512 bytes. Reads the time zone's file, once a
/// process. Not for signal handlers.
pub fn push(text: &mut Vec<u8>, format: &CStr, unix_seconds: i64) {
    let seconds: libc::time_t = unix_seconds;
    let mut fields = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are valid for the call; it writes all fields unless it returns null.
    if unsafe { libc::localtime_r(&raw const seconds, fields.as_mut_ptr()) }.is_null() {
        return; // a year that no `int` holds
    }
    let mut bytes = [0_u8; BYTES_MAX];
    // SAFETY: the buffer has that length, the format ends with a NUL, and the fields were written above.
    let length = unsafe { libc::strftime(bytes.as_mut_ptr().cast(), BYTES_MAX, format.as_ptr(), fields.as_ptr()) };
    text.extend_from_slice(&bytes[..length]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_and_what_is_too_long_is_not() {
        // Whatever the time zone is: its offset is part of the text.
        let mut text = Vec::new();
        push(&mut text, c"%Y-%m-%dT%H:%M:%S%z", 1_795_223_844);
        let text = String::from_utf8(text).expect("text");
        assert!(text.starts_with("2026-11-2") && text.len() == 24, "{text}");
        let long = std::ffi::CString::new("%c".repeat(200)).expect("no NUL");
        let mut nothing = Vec::new();
        push(&mut nothing, &long, 0);
        assert_eq!(nothing, b"");
    }
}
