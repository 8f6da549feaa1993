//! Random bytes from the kernel. A generator inherited by fork cannot be used: all workers would draw the same numbers.

use std::io;

/// getrandom(2) returns up to this many bytes at once and without an interruption.
const BYTES_MAX: usize = 256;

/// `N` bytes.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Fills `bytes`.
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    for piece in bytes.chunks_mut(BYTES_MAX) {
        // SAFETY: `piece` is writable memory of that length and outlives the call.
        if unsafe { libc::getrandom(piece.as_mut_ptr().cast(), piece.len(), 0) } != piece.len() as isize {
            let e = io::Error::last_os_error();
            return Err(io::Error::new(e.kind(), format!("getrandom: {e}")));
        }
    }
    Ok(())
}
