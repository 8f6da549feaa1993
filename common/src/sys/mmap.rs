//! Anonymous memory that forked processes share.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU64;

/// Two cache lines: x86 fetches lines in pairs, so that neighbours do not disturb each other.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Line {
    pub words: [AtomicU64; 16],
}

/// `count` zeroed lines, shared with every process forked from now on. Never unmapped. Most are for processes that
/// never exist: only lines that are touched take memory, and only they are accounted for (MAP_NORESERVE).
pub fn shared_lines(count: usize) -> io::Result<&'static [Line]> {
    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
    let bytes = NonZeroUsize::new(count.max(1) * size_of::<Line>()).expect("at least one line");
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping aliases nothing.
    let start = unsafe { mmap_anonymous(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags) }
        .map_err(|e| io::Error::new(io::Error::from(e).kind(), format!("mmap of {bytes} shared bytes: {e}")))?;
    // SAFETY: the mapping is page-aligned, `count` lines long, zeroed (a valid AtomicU64) and lives as long as the process.
    Ok(unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<Line>(), count.max(1)) })
}
