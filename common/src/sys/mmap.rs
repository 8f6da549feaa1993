//! Memory that processes share: anonymous, for those that are forked, or a file without a name, which can be passed on to
//! another program.

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::fstat;
use nix::sys::uio::pread;
use nix::unistd::ftruncate;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;

/// Two cache lines: x86 fetches lines in pairs, so that neighbours do not disturb each other.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Line {
    pub words: [AtomicU64; 16],
}

/// A part of a file that is mapped by itself begins at a multiple of this many lines: 64 KiB, the largest page of any
/// system.
pub const ALIGNMENT: usize = (64 << 10) / size_of::<Line>();

/// `count` zeroed lines, shared with every process forked from now on. Never unmapped. Most are for processes that
/// never exist: only lines that are touched take memory, and only they are accounted for (MAP_NORESERVE).
pub fn shared_lines(count: usize) -> io::Result<&'static [Line]> {
    let bytes = bytes_of(count);
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping aliases nothing.
    let start = unsafe { mmap_anonymous(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags) }
        .map_err(|e| io::Error::new(io::Error::from(e).kind(), format!("mmap of {bytes} shared bytes: {e}")))?;
    // SAFETY: the mapping is page-aligned, `count` lines long, zeroed (a valid AtomicU64) and lives as long as the process.
    Ok(unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<Line>(), count.max(1)) })
}

fn bytes_of(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count.max(1) * size_of::<Line>()).expect("at least one line")
}

/// A file of `count` zeroed lines, in memory, whose size no process can change any more. As with [`shared_lines`], only what is
/// touched takes memory.
pub fn memory_file(count: usize) -> io::Result<OwnedFd> {
    let bytes = bytes_of(count).get();
    // A larger file than that would be answered with SIGXFSZ.
    if (getrlimit(Resource::RLIMIT_FSIZE)?.0) < bytes as u64 {
        return Err(io::Error::other(format!("the limit of file sizes (ulimit -f) is below {bytes} bytes")));
    }
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Kernels before 6.3 do not know the flag; later ones may insist on it (vm.memfd_noexec).
    let no_exec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    let file = memfd_create(c"tine", flags | no_exec)
        .or_else(|_| memfd_create(c"tine", flags))
        .map_err(|e| named("memfd_create", e))?;
    ftruncate(&file, bytes as i64).map_err(|e| named("ftruncate", e))?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(|e| named("F_ADD_SEALS", e))?;
    Ok(file)
}

/// The lines of a file that [`memory_file`] has made, also in another program; 0 for any other file.
pub fn lines_of(file: BorrowedFd<'_>) -> usize {
    let seals = fcntl(file, FcntlArg::F_GET_SEALS).unwrap_or(0);
    match (SealFlag::from_bits_retain(seals).contains(SealFlag::F_SEAL_SHRINK), fstat(file)) {
        (true, Ok(stat)) => stat.st_size as usize / size_of::<Line>(),
        _ => 0,
    }
}

/// The words of a line of a file of [`memory_file`], which is not mapped for that.
pub fn read_line(file: BorrowedFd<'_>, number: usize) -> io::Result<[u64; 16]> {
    let mut bytes = [0; size_of::<Line>()];
    let count = pread(file, &mut bytes, (number * size_of::<Line>()) as i64).map_err(|e| named("pread", e))?;
    if lines_of(file) == 0 || count < bytes.len() {
        return Err(io::Error::other("the file in memory is not as long as it should be"));
    }
    let (words, _) = bytes.as_chunks();
    Ok(std::array::from_fn(|at| u64::from_ne_bytes(words[at])))
}

/// Maps `count` lines of a file of [`memory_file`], from line `first` on, a multiple of [`ALIGNMENT`]. Never unmapped.
pub fn map_lines(file: BorrowedFd<'_>, first: usize, count: usize) -> io::Result<&'static [Line]> {
    if !first.is_multiple_of(ALIGNMENT) || first + count > lines_of(file) {
        return Err(io::Error::other("the file in memory is not as long as it should be"));
    }
    let (bytes, at) = (bytes_of(count), (first * size_of::<Line>()) as i64);
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
    // SAFETY: a new mapping, of a file that all processes access by atomics only.
    let start = unsafe { mmap(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags, file, at) }
        .map_err(|e| io::Error::new(io::Error::from(e).kind(), format!("mmap of {bytes} bytes of a file: {e}")))?;
    // SAFETY: the mapping is page-aligned and `count` lines long, the file is not shorter and sealed against becoming so, any
    // bytes are a valid AtomicU64, and it lives as long as the process.
    Ok(unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<Line>(), count) })
}

fn named(call: &str, e: nix::Error) -> io::Error {
    io::Error::new(io::Error::from(e).kind(), format!("{call}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn a_file_is_the_same_memory_wherever_it_is_mapped() {
        let file = memory_file(2 * ALIGNMENT).expect("a file");
        let (all, half) = (
            map_lines(file.as_fd(), 0, 2 * ALIGNMENT).expect("all"),
            map_lines(file.as_fd(), ALIGNMENT, 1).expect("one"),
        );
        all[ALIGNMENT].words[3].store(7, Relaxed);
        assert_eq!(half[0].words[3].load(Relaxed), 7);
        assert_eq!(half[0].words[4].load(Relaxed), 0);
        for (first, count) in [(1, 1), (0, 2 * ALIGNMENT + 1), (2 * ALIGNMENT, 1)] {
            assert!(map_lines(file.as_fd(), first, count).is_err(), "{count} from {first}");
        }
    }

    #[test]
    fn no_other_file_will_do() {
        let file = memory_file(1).expect("a file");
        assert!(ftruncate(&file, 1 << 20).is_err() && ftruncate(&file, 0).is_err(), "it is sealed");
        let other = std::fs::File::open("/proc/self/exe").expect("a file");
        assert!(map_lines(other.as_fd(), 0, 1).is_err());
        let unsealed = memfd_create(c"other", MFdFlags::MFD_CLOEXEC).expect("a file");
        ftruncate(&unsealed, 1 << 20).expect("it grows");
        assert!(map_lines(unsealed.as_fd(), 0, 1).is_err());
    }
}
