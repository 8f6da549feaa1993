//! The allocator of a VM: blocks that Lua frees are kept for its next ones of the same size, in front of malloc.
//!
//! The garbage collector frees hundreds of small blocks at a time, more than malloc's own cache of a thread takes, and a
//! request allocates a dozen. With `--lua-memory-max` a VM has mlua's allocator, which counts what is allocated, and lets
//! mlua itself allocate over the limit where LuaJIT could not catch an error.

use nix::libc;
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::null_mut;

/// Small blocks have sizes that are multiples of this.
const STEP: usize = 16;
/// Larger blocks are malloc's.
const SMALL_MAX: usize = 512;
/// Of each size, blocks of this many bytes together are kept, the rest is given back to malloc.
const KEPT_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Allocator {
    kept: [Kept; SMALL_MAX / STEP],
}

/// Free blocks of one size, each of which begins with the address of the next.
struct Kept {
    first: Cell<*mut c_void>,
    count: Cell<usize>,
}

impl Allocator {
    /// For a VM that is never moved to another thread. It is never freed itself, as Lua keeps its address.
    pub fn new() -> &'static Allocator {
        let kept = std::array::from_fn(|_| Kept { first: Cell::new(null_mut()), count: Cell::new(0) });
        Box::leak(Box::new(Allocator { kept }))
    }

    /// Gives back to malloc what is kept.
    pub fn trim(&self) {
        for kept in &self.kept {
            while let Some(block) = kept.take() {
                // SAFETY: malloc's, and no longer referred to.
                unsafe { libc::free(block) };
            }
        }
    }

    fn allocate(&self, bytes: usize) -> *mut c_void {
        let (block, size) = match self.kept(bytes) {
            Some((kept, size)) => (kept.take(), size),
            None => (None, bytes),
        };
        // SAFETY: may be called with any size.
        block.unwrap_or_else(|| unsafe { libc::malloc(size) })
    }

    fn free(&self, block: *mut c_void, bytes: usize) {
        match self.kept(bytes) {
            Some((kept, size)) if kept.count.get() * size < KEPT_BYTES_MAX => kept.put(block),
            // SAFETY: malloc's, and Lua no longer refers to it.
            _ => unsafe { libc::free(block) },
        }
    }

    /// Null, and the block is as it was, where there is no memory.
    fn resize(&self, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
        match (self.kept(old), self.kept(new)) {
            (Some((_, old)), Some((_, new))) if old == new => block,
            // SAFETY: malloc's, of which Lua refers to what realloc returns from now on.
            (None, None) => unsafe { libc::realloc(block, new) },
            _ => {
                let moved = self.allocate(new);
                if !moved.is_null() {
                    // SAFETY: both blocks have as many bytes, and are different ones.
                    unsafe { std::ptr::copy_nonoverlapping(block.cast::<u8>(), moved.cast(), old.min(new)) };
                    self.free(block, old);
                }
                moved
            }
        }
    }

    /// Where small blocks of this size are kept, and the size that they have.
    fn kept(&self, bytes: usize) -> Option<(&Kept, usize)> {
        let number = bytes.wrapping_sub(1) / STEP;
        Some((self.kept.get(number)?, (number + 1) * STEP))
    }
}

impl Kept {
    fn take(&self) -> Option<*mut c_void> {
        let block = self.first.get();
        if block.is_null() {
            return None;
        }
        // SAFETY: `put` has written the address there.
        self.first.set(unsafe { *block.cast::<*mut c_void>() });
        self.count.set(self.count.get() - 1);
        Some(block)
    }

    fn put(&self, block: *mut c_void) {
        // SAFETY: the block has at least STEP bytes, is aligned for anything, and nothing else refers to it.
        unsafe { *block.cast::<*mut c_void>() = self.first.get() };
        self.first.set(block);
        self.count.set(self.count.get() + 1);
    }
}

/// Lua's `lua_Alloc`: allocates where `block` is null, frees where `new` is 0.
///
/// # Safety
///
/// `allocator` is an `Allocator`, and `block` null or one that this function has returned for `old` bytes.
pub(super) unsafe extern "C" fn allocate(
    allocator: *mut c_void,
    block: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: it lives for ever, and is used by one thread.
    let allocator = unsafe { &*allocator.cast::<Allocator>() };
    match (block.is_null(), new) {
        (true, 0) => null_mut(),
        // `old` is the kind of what Lua 5.4 allocates.
        (true, _) => allocator.allocate(new),
        (false, 0) => {
            allocator.free(block, old);
            null_mut()
        }
        // Lua expects that a block can always shrink. One that has not is kept as one of its new size.
        (false, _) => match allocator.resize(block, old, new) {
            moved if moved.is_null() && new <= old => block,
            moved => moved,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks keep their bytes when they grow and shrink, and those that are freed are used again.
    #[test]
    fn blocks_grow_shrink_and_come_back() {
        let allocator = Allocator::new();
        let call = |block: *mut c_void, old: usize, new: usize| {
            let address = std::ptr::from_ref(allocator).cast_mut().cast();
            // SAFETY: as each call says, the block has this many bytes.
            unsafe { allocate(address, block, old, new) }
        };
        let sizes = [1, 16, 17, 40, 512, 513, 5000, 512, 33, 16, 1];
        let mut block = call(null_mut(), 5, sizes[0]);
        // SAFETY: it has a byte.
        unsafe { *block.cast::<u8>() = 42 };
        for pair in sizes.windows(2) {
            block = call(block, pair[0], pair[1]);
            // SAFETY: as above.
            assert_eq!(unsafe { *block.cast::<u8>() }, 42, "{pair:?}");
        }
        assert!(call(block, 1, 0).is_null());
        let again = call(null_mut(), 0, 9);
        assert_eq!(again, block, "the same size");
        assert_ne!(call(null_mut(), 0, 9), block, "it is in use");
        assert!(call(again, 9, 0).is_null() && call(null_mut(), 0, 0).is_null());
        allocator.trim();
        assert!(allocator.kept.iter().all(|kept| kept.count.get() == 0 && kept.first.get().is_null()));
    }
}
