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

use crate::system::error::KernelError;

/// The largest block that a thread keeps for itself, in bytes.
const SMALL: usize = 16 << 10;
/// What a thread keeps at most, in bytes.
const OWN_BYTES: usize = 1 << 20;
/// What all threads together keep at most, in bytes.
const SHARED_BYTES: usize = 32 << 20;

/// Freed blocks for later requests of the same size, the oldest first.
#[derive(Default)]
struct FreeList {
    blocks: Vec<(NonNull<u8>, usize)>,
    bytes: usize,
}

// SAFETY: a kept block belongs to nobody else.
unsafe impl Send for FreeList {}

impl FreeList {
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
            // SAFETY: it is one of `fresh` and belongs to nobody.
            unsafe { free(at, bytes) }
        }
    }
}

impl Drop for FreeList {
    fn drop(&mut self) {
        for &(at, bytes) in &self.blocks {
            // SAFETY: as in `put`.
            unsafe { free(at, bytes) }
        }
    }
}

thread_local! {
    static OWN: RefCell<FreeList> = const { RefCell::new(FreeList::EMPTY) };
    /// Bytes of all blocks that this thread has ever taken.
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}
static SHARED: Mutex<FreeList> = Mutex::new(FreeList::EMPTY);

/// The reserve, if nobody is at it: a fork may have left it locked for ever.
fn shared() -> Option<MutexGuard<'static, FreeList>> {
    SHARED.try_lock().ok()
}

/// A line of the cache: where blocks start.
const LINE: usize = 64;

/// What is asked of the allocator for a block: room to move its start to a line. An alignment of its own would make the
/// allocator write the zeros, where the system gives large blocks as pages that are zero once they are touched.
fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(LINE)?, align_of::<u128>()).ok()
}

/// A fresh block of zeros.
fn fresh(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: the size is not zero.
    let base = NonNull::new(unsafe { alloc_zeroed(layout(bytes)?) })?;
    let moved = LINE - base.addr().get() % LINE;
    // SAFETY: `moved` is at least the alignment of the allocation, 16 bytes, and at most the line that was added; the
    // number before the block is aligned, as the block is.
    unsafe {
        let at = base.add(moved);
        at.cast::<usize>().sub(1).write(moved);
        prefer_large_pages(std::slice::from_raw_parts_mut(at.as_ptr().cast::<std::mem::MaybeUninit<u8>>(), bytes));
        Some(at)
    }
}

/// Gives a block back to the allocator.
///
/// # Safety
/// It must come from [`fresh`] with as many bytes, and be used no more.
unsafe fn free(at: NonNull<u8>, bytes: usize) {
    let layout = layout(bytes).expect("it was allocated with this layout");
    // SAFETY: `fresh` wrote before the block how far it lies from what was allocated.
    unsafe { dealloc(at.sub(at.cast::<usize>().sub(1).read()).as_ptr(), layout) }
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
        None => fresh(bytes)?,
    };
    TAKEN.set(TAKEN.get().wrapping_add(bytes));
    Some(at)
}

/// Bytes of all blocks that this thread has ever taken, modulo the address space.
pub(crate) fn taken() -> usize {
    TAKEN.get()
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

/// As [`room`], for what is written once and handed out: on Linux in large pages where it is much, because the system's
/// part in the first touch of a small page takes longer than filling it.
///
/// # Errors
/// [`KernelError::Memory`].
pub fn room_for_results<I>(what: &'static str, len: usize) -> Result<Vec<I>, KernelError> {
    let mut room = room(what, len)?;
    prefer_large_pages(room.spare_capacity_mut());
    Ok(room)
}

/// There is nothing to say.
#[cfg(any(not(target_os = "linux"), miri))]
fn prefer_large_pages<I>(_: &mut [std::mem::MaybeUninit<I>]) {}

/// Says that large pages are welcome; nothing depends on what becomes of it.
#[cfg(all(target_os = "linux", not(miri)))]
fn prefer_large_pages<I>(room: &mut [std::mem::MaybeUninit<I>]) {
    use std::ffi::{c_int, c_void};

    unsafe extern "C" {
        fn madvise(at: *mut c_void, bytes: usize, advice: c_int) -> c_int;
    }
    /// From where it is worth it: some large pages.
    const MUCH: usize = 4 << 20;
    /// Of the smallest pages there are: where an advice must start. Elsewhere it is refused, which does no harm.
    const PAGE: usize = 4096;
    const MADV_HUGEPAGE: c_int = 14;
    let (at, bytes) = (room.as_mut_ptr(), size_of_val(room));
    let before = at.addr().next_multiple_of(PAGE) - at.addr();
    if bytes >= MUCH {
        // SAFETY: this advice leaves the content of pages as it is, and they are ours.
        unsafe { madvise(at.wrapping_byte_add(before).cast(), bytes - before, MADV_HUGEPAGE) };
    }
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

/// A list of what an iterator gives, whose length is known, up to its first error.
///
/// # Errors
/// [`KernelError::Memory`], or the iterator's.
pub fn tried<I>(
    what: &'static str,
    items: impl ExactSizeIterator<Item = Result<I, KernelError>>,
) -> Result<Vec<I>, KernelError> {
    let mut list = room(what, items.len())?;
    for item in items {
        list.push(item?);
    }
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
    unsafe { free(at, bytes) }
}
