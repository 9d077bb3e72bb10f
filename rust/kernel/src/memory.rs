//! Memory that is asked for, and may be refused; blocks of scratch outlive a call and wait for the next one to ask for the
//! same size.
//!
//! Whatever grows with what a caller chooses is asked for here: memory that is not to be had is an error, never an abort.
//! Small blocks stay with the thread that freed them, without a lock. Large ones go to a reserve of all threads: they are
//! often freed by another thread than the one that will ask.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard};

use crate::error::KernelError;

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
    /// Bytes of all blocks that this thread has ever taken.
    static TAKEN: Cell<usize> = const { Cell::new(0) };
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

/// A block of at least one byte, zeroed or with whatever numbers it had; none where there is no memory.
pub(crate) fn take(bytes: usize, zeroed: bool) -> Option<NonNull<u8>> {
    let at = match kept(bytes) {
        Some(at) if zeroed => {
            // SAFETY: the block has this many bytes.
            unsafe { at.as_ptr().write_bytes(0, bytes) };
            at
        }
        Some(at) => at,
        // Fresh memory is zero anyway, so that no number is ever uninitialised.
        // SAFETY: the size is not zero.
        None => NonNull::new(unsafe { alloc_zeroed(Layout::from_size_align(bytes, 64).ok()?) })?,
    };
    TAKEN.set(TAKEN.get().wrapping_add(bytes));
    Some(at)
}

/// What `make` gives, and the bytes of the blocks that it took on the way.
pub(crate) fn measured<O>(make: impl FnOnce() -> O) -> (O, usize) {
    let before = TAKEN.get();
    let made = make();
    (made, TAKEN.get().wrapping_sub(before))
}

/// Room for `len` items, asked for and not used yet.
///
/// # Errors
/// [`KernelError::Memory`].
pub fn room<I>(what: &'static str, len: usize) -> Result<Vec<I>, KernelError> {
    let mut room = Vec::new();
    reserve(what, &mut room, len)?;
    Ok(room)
}

/// More room in a list, for `more` items.
///
/// # Errors
/// [`KernelError::Memory`].
pub fn reserve<I>(what: &'static str, list: &mut Vec<I>, more: usize) -> Result<(), KernelError> {
    let bytes = list.len().saturating_add(more).saturating_mul(size_of::<I>());
    list.try_reserve_exact(more).map_err(|_| KernelError::Memory { what, bytes })
}

/// Room for one more item, in steps that double.
///
/// # Errors
/// [`KernelError::Memory`].
pub fn reserve_one<I>(what: &'static str, list: &mut Vec<I>) -> Result<(), KernelError> {
    reserve_doubling(what, list, 1)
}

/// Room for more items, in steps that double.
///
/// # Errors
/// [`KernelError::Memory`].
pub fn reserve_doubling<I>(what: &'static str, list: &mut Vec<I>, more: usize) -> Result<(), KernelError> {
    let bytes = list.len().saturating_mul(2).max(more).saturating_mul(size_of::<I>());
    list.try_reserve(more).map_err(|_| KernelError::Memory { what, bytes })
}

/// `len` zeros.
///
/// # Errors
/// [`KernelError::Memory`].
pub fn zeros<T: Copy + Default>(what: &'static str, len: usize) -> Result<Vec<T>, KernelError> {
    let mut zeros = room(what, len)?;
    zeros.resize(len, T::default());
    Ok(zeros)
}

/// A list of what an iterator gives, whose length is known.
///
/// # Errors
/// [`KernelError::Memory`].
pub fn list<I>(what: &'static str, items: impl ExactSizeIterator<Item = I>) -> Result<Vec<I>, KernelError> {
    let mut list = room(what, items.len())?;
    list.extend(items);
    Ok(list)
}

/// Whether so many bytes could be had at once: looked at before threads start, or training that would end without.
///
/// # Errors
/// [`KernelError::Memory`].
pub fn could_have(what: &'static str, bytes: usize) -> Result<(), KernelError> {
    /// What is asked for without looking: an ordinary call must not pay for it.
    const FEW: usize = 32 << 20;
    if bytes <= FEW { Ok(()) } else { room::<u8>(what, bytes).map(drop) }
}

/// Gives a block back.
///
/// # Safety
/// It must come from [`take`] with as many bytes, and be used no more.
pub(crate) unsafe fn give(at: NonNull<u8>, bytes: usize) {
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
