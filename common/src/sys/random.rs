//! Random bytes from the kernel. A generator inherited by fork cannot be used: all workers would draw the same numbers.

use std::io;

/// `N` bytes; up to 256, getrandom(2) returns them at once and without an interruption.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    const { assert!(N <= 256) };
    let mut bytes = [0; N];
    // SAFETY: `bytes` is writable memory of that length and outlives the call.
    if unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) } != N as isize {
        let e = io::Error::last_os_error();
        return Err(io::Error::new(e.kind(), format!("getrandom: {e}")));
    }
    Ok(bytes)
}
