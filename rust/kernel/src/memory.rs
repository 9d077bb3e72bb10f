//! Memory that outlives a call: freed blocks wait for the next call to ask for the same size.
//!
//! Small blocks stay with the thread that freed them, without a lock. Large ones go to a reserve of all threads: they are
//! often freed by another thread than the one that will ask.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard};

/// The largest block that a thread keeps for itself, in bytes.
const SMALL: usize = 16 << 10;
/// What a thread keeps at most, in bytes.
const OWN_BYTES: usize = 1 << 20;
/// What all threads together keep at most, in bytes.
const SHARED_BYTES: usize = 32 << 20;

/// Freed blocks, the oldest first.
#[derive(Default)]
struct Kept {
    blocks: Vec<(NonNull<u8>, usize)>,
    bytes: usize,
}

// SAFETY: a kept block belongs to nobody else.
unsafe impl Send for Kept {}

impl Kept {
    const EMPTY: Self = Self { blocks: Vec::new(), bytes: 0 };

    fn take(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let index = self.blocks.iter().rposition(|&(_, size)| size == bytes)?;
        self.bytes -= bytes;
        Some(self.blocks.remove(index).0)
    }

    /// Keeps a block in place of the oldest ones.
    fn put(&mut self, at: NonNull<u8>, bytes: usize, most: usize) {
        self.blocks.push((at, bytes));
        self.bytes += bytes;
        let mut excess = 0;
        while self.bytes > most {
            self.bytes -= self.blocks[excess].1;
            excess += 1;
        }
        for (at, bytes) in self.blocks.drain(..excess) {
            // SAFETY: it was allocated with this layout and belongs to nobody.
            unsafe { dealloc(at.as_ptr(), layout(bytes)) }
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        for &(at, bytes) in &self.blocks {
            // SAFETY: as in `put`.
            unsafe { dealloc(at.as_ptr(), layout(bytes)) }
        }
    }
}

thread_local! {
    static OWN: RefCell<Kept> = const { RefCell::new(Kept::EMPTY) };
}
static SHARED: Mutex<Kept> = Mutex::new(Kept::EMPTY);

/// The reserve, if nobody is at it: a fork may have left it locked for ever.
fn shared() -> Option<MutexGuard<'static, Kept>> {
    SHARED.try_lock().ok()
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 64).expect("scratch fits the address space")
}

fn kept(bytes: usize) -> Option<NonNull<u8>> {
    if bytes > SMALL {
        return shared()?.take(bytes);
    }
    OWN.try_with(|own| own.borrow_mut().take(bytes)).ok()?
}

/// A block of at least one byte, zeroed or with whatever numbers it had.
pub fn take(bytes: usize, zeroed: bool) -> NonNull<u8> {
    let Some(at) = kept(bytes) else {
        // Fresh memory is zero anyway, so that no number is ever uninitialised.
        // SAFETY: the size is not zero.
        let at = unsafe { alloc_zeroed(layout(bytes)) };
        return NonNull::new(at).unwrap_or_else(|| handle_alloc_error(layout(bytes)));
    };
    if zeroed {
        // SAFETY: the block has this many bytes.
        unsafe { at.as_ptr().write_bytes(0, bytes) };
    }
    at
}

/// Gives a block back.
///
/// # Safety
/// It must come from [`take`] with as many bytes, and be used no more.
pub unsafe fn give(at: NonNull<u8>, bytes: usize) {
    if bytes > SMALL {
        if let Some(mut reserve) = shared() {
            return reserve.put(at, bytes, SHARED_BYTES);
        }
    } else if OWN.try_with(|own| own.borrow_mut().put(at, bytes, OWN_BYTES)).is_ok() {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe { dealloc(at.as_ptr(), layout(bytes)) }
}
