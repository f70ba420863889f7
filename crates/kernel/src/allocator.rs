//! Small pieces of memory that the first thread keeps for itself: it takes and gives them without a lock and without a search.
//!
//! A program of one thread that is done within a millisecond, and a loop on one thread, take and give thousands of them for each start, and
//! an allocator for all threads locks itself each time. All other threads, and all larger pieces, go to the allocator below.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of the smallest kind of piece, and by how many each kind is larger than the one before: with its header of eight bytes, a piece
/// of dlmalloc's is a multiple of sixteen, and 32 at least.
const SMALLEST_BYTES: usize = 24;
const STEP_BYTES: usize = 16;
/// How many kinds there are: pieces of up to a kilobyte.
const KINDS: usize = 64;
/// What every piece is aligned to.
const ALIGNMENT: usize = 16;
/// Bytes that are kept at most: more is of use to nobody but the one who took it.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// An allocator that keeps small pieces for the thread that used it first.
pub struct Kept<A> {
    below: A,
    /// The thread pointer of the first thread; 0 before it came.
    owner: AtomicUsize,
    room: UnsafeCell<Room>,
}

// SAFETY: `below` may be used by all threads, and `room` is touched by the one thread alone whose pointer `owner` is.
unsafe impl<A: Sync> Sync for Kept<A> {}

/// The pieces that are kept.
struct Room {
    /// The first of each kind.
    first: [Option<NonNull<Piece>>; KINDS],
    bytes: usize,
}

/// What a piece holds while nobody uses it.
struct Piece {
    next: Option<NonNull<Piece>>,
}

impl<A> Kept<A> {
    /// Nothing is kept yet.
    pub const fn new(below: A) -> Self {
        Self {
            below,
            owner: AtomicUsize::new(0),
            room: UnsafeCell::new(Room {
                first: [None; KINDS],
                bytes: 0,
            }),
        }
    }

    /// Whether this is the first thread. That is the program's own, which lives as long as the program: no other gets its pointer.
    fn is_owner(&self) -> bool {
        let thread = thread_pointer();
        match self.owner.load(Ordering::Relaxed) {
            0 => self
                .owner
                .compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok(),
            owner => owner == thread,
        }
    }

    /// A piece of this kind that was kept.
    fn take(&self, kind: usize) -> Option<NonNull<u8>> {
        if !self.is_owner() {
            return None;
        }
        // SAFETY: no other thread comes here, and no reference outlives this function, which calls none that allocates.
        let room = unsafe { &mut *self.room.get() };
        let first = room.first.get_mut(kind)?;
        let piece = (*first)?;
        // SAFETY: `give` wrote it there, and nobody has had it since.
        *first = unsafe { piece.as_ref() }.next;
        room.bytes -= bytes_of(kind);
        Some(piece.cast())
    }

    /// Keeps a piece; false: there are enough.
    fn give(&self, piece: *mut u8, kind: usize) -> bool {
        if !self.is_owner() {
            return false;
        }
        // SAFETY: as above.
        let room = unsafe { &mut *self.room.get() };
        let bytes = room.bytes + bytes_of(kind);
        let (Some(first), Some(piece)) = (
            room.first.get_mut(kind),
            NonNull::new(piece.cast::<Piece>()),
        ) else {
            return false;
        };
        if bytes > KEPT_BYTES_MAX {
            return false;
        }
        // SAFETY: the caller gives the piece away; it has room for this at least, and its alignment.
        unsafe { piece.write(Piece { next: *first }) };
        *first = Some(piece);
        room.bytes = bytes;
        true
    }
}

// SAFETY: whatever is given out came from `below` with the layout of its kind and goes back with the same one, since the kind follows from the
// caller's layout alone; what is kept between is nobody's.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Kept<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((kind, whole)) = kind_of(layout) else {
            // SAFETY: the caller's promise is what that asks for.
            return unsafe { self.below.alloc(layout) };
        };
        match self.take(kind) {
            Some(piece) => piece.as_ptr(),
            // SAFETY: a kind is never of size 0.
            None => unsafe { self.below.alloc(whole) },
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        let Some((kind, whole)) = kind_of(layout) else {
            // SAFETY: it came from there, with this layout.
            return unsafe { self.below.dealloc(piece, layout) };
        };
        if !self.give(piece, kind) {
            // SAFETY: it came from there, with the layout of its kind.
            unsafe { self.below.dealloc(piece, whole) };
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if kind_of(layout).is_none() {
            // SAFETY: the caller's promise is what that asks for; what is fresh from the kernel is zero already.
            return unsafe { self.below.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's promise is what that asks for.
        let piece = unsafe { self.alloc(layout) };
        if !piece.is_null() {
            // SAFETY: a piece has the bytes of its layout at least.
            unsafe { piece.write_bytes(0, layout.size()) };
        }
        piece
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
            return core::ptr::null_mut();
        };
        match (kind_of(layout), kind_of(wanted)) {
            (Some((now, _)), Some((then, _))) if now == then => piece,
            // SAFETY: it came from there with this layout, and goes back with the new one.
            (None, None) => unsafe { self.below.realloc(piece, layout, size) },
            _ => {
                // SAFETY: the caller's promise is what that asks for.
                let moved = unsafe { self.alloc(wanted) };
                if !moved.is_null() {
                    let both = layout.size().min(size);
                    // SAFETY: both have that many bytes, and are two pieces; the old one is not used any more.
                    unsafe {
                        core::ptr::copy_nonoverlapping(piece, moved, both);
                        self.dealloc(piece, layout);
                    }
                }
                moved
            }
        }
    }
}

/// The kind of a piece and its layout; none for what is too large or wants to be aligned more.
fn kind_of(layout: Layout) -> Option<(usize, Layout)> {
    let kind = layout
        .size()
        .saturating_sub(SMALLEST_BYTES - STEP_BYTES + 1)
        / STEP_BYTES;
    if kind >= KINDS || layout.align() > ALIGNMENT {
        return None;
    }
    let whole = Layout::from_size_align(bytes_of(kind), ALIGNMENT).ok()?;
    Some((kind, whole))
}

const fn bytes_of(kind: usize) -> usize {
    SMALLEST_BYTES + kind * STEP_BYTES
}

/// What tells this thread from all others that live.
#[cfg(target_arch = "x86_64")]
fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: the first word of a thread's block is its own address in every C library (ELF handling for thread-local storage, 3.4.2).
    unsafe {
        core::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly, pure));
    }
    pointer
}

/// What tells this thread from all others that live.
#[cfg(target_arch = "aarch64")]
fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reading the register that has a thread's block changes nothing.
    unsafe {
        core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem, pure));
    }
    pointer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test's own memory.

    use super::*;
    use core::cell::Cell;
    use std::alloc::System;

    /// The system's, which counts what it has given out, and sees that it gets back what it gave.
    #[derive(Default)]
    struct Counted {
        bytes: AtomicUsize,
        calls: AtomicUsize,
    }

    // SAFETY: all is the system's.
    unsafe impl GlobalAlloc for Counted {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            self.bytes.fetch_add(layout.size(), Ordering::Relaxed);
            self.calls.fetch_add(1, Ordering::Relaxed);
            // SAFETY: as the caller's.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
            self.bytes.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: as the caller's.
            unsafe { System.dealloc(piece, layout) }
        }
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn each_piece_is_as_large_as_was_asked_for_and_hardly_larger() {
        for size in 1..=bytes_of(KINDS - 1) {
            let (kind, whole) = kind_of(layout(size, 8)).unwrap();
            assert!(whole.size() >= size && whole.size() < size.max(9) + STEP_BYTES);
            assert!(kind < KINDS && whole.align() == ALIGNMENT);
        }
        assert!(kind_of(layout(bytes_of(KINDS - 1) + 1, 8)).is_none());
        assert!(kind_of(layout(8, 32)).is_none());
    }

    #[test]
    fn what_was_given_back_is_taken_again_by_the_first_thread_alone() {
        let kept = Kept::new(Counted::default());
        let one = layout(100, 8);
        // SAFETY: each piece is given back once, with its layout.
        unsafe {
            let piece = kept.alloc(one);
            kept.dealloc(piece, one);
            let other = std::thread::scope(|scope| {
                let other = scope.spawn(|| {
                    let other = kept.alloc(one);
                    kept.dealloc(other, one);
                    other as usize
                });
                other.join().unwrap()
            });
            assert_ne!(piece as usize, other);
            let again = kept.alloc(layout(97, 16));
            assert_eq!(piece, again, "another size of its kind");
            kept.dealloc(again, layout(97, 16));
        }
        assert_eq!(kept.below.calls.load(Ordering::Relaxed), 2);
        assert_eq!(kept.below.bytes.load(Ordering::Relaxed), 104);
    }

    #[test]
    fn no_more_is_kept_than_the_limit() {
        let kept = Kept::new(Counted::default());
        let one = layout(1_000, 8);
        // SAFETY: each piece is given back once, with its layout.
        unsafe {
            let pieces: Vec<*mut u8> = (0..200).map(|_| kept.alloc(one)).collect();
            for piece in pieces {
                kept.dealloc(piece, one);
            }
        }
        let bytes = kept.below.bytes.load(Ordering::Relaxed);
        assert!(
            bytes <= KEPT_BYTES_MAX && bytes > KEPT_BYTES_MAX / 2,
            "{bytes}"
        );
    }

    #[test]
    fn content_stays_through_every_change_of_size_and_zeroes_are_zero() {
        let kept = Kept::new(Counted::default());
        // SAFETY: each piece is given back once, with its layout, and touched within it.
        unsafe {
            let mut now = layout(10, 8);
            let mut piece = kept.alloc_zeroed(now);
            for byte in 0..10 {
                piece.add(byte).write(byte as u8 + 1);
            }
            for size in [20, 24, 25, 500, 5_000, 50_000, 1_000, 10] {
                piece = kept.realloc(piece, now, size);
                now = layout(size, 8);
                let found: Vec<u8> = (0..10).map(|byte| piece.add(byte).read()).collect();
                assert_eq!(found, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "{size}");
            }
            kept.dealloc(piece, now);
            let zeroed = kept.alloc_zeroed(now);
            assert_eq!(zeroed, piece, "it is the same memory");
            let found: Vec<u8> = (0..10).map(|byte| zeroed.add(byte).read()).collect();
            assert_eq!(found, [0; 10]);
            kept.dealloc(zeroed, now);
        }
    }

    #[test]
    fn threads_that_give_each_other_pieces_lose_none() {
        let kept = Kept::new(Counted::default());
        let sizes = [8, 24, 40, 100, 999, 2_000];
        let passed = std::sync::Mutex::new(Vec::new());
        let rounds = |seed: usize| {
            let state = Cell::new(seed);
            for _ in 0..2_000 {
                state.set(
                    state
                        .get()
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1),
                );
                let size = sizes[(state.get() >> 40) % sizes.len()];
                // SAFETY: each piece is given back once, with its layout, and touched within it.
                unsafe {
                    let piece = kept.alloc(layout(size, 8));
                    piece.write_bytes(size as u8, size);
                    let mut passed = passed.lock().unwrap();
                    passed.push((piece as usize, size));
                    if passed.len() > 50 {
                        let index = (state.get() >> 20) % passed.len();
                        let (piece, size) = passed.swap_remove(index);
                        let piece = piece as *mut u8;
                        assert!((0..size).all(|byte| piece.add(byte).read() == size as u8));
                        kept.dealloc(piece, layout(size, 8));
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| rounds(1));
            scope.spawn(|| rounds(2));
            rounds(3);
        });
        for (piece, size) in passed.into_inner().unwrap() {
            // SAFETY: each piece is given back once, with its layout.
            unsafe { kept.dealloc(piece as *mut u8, layout(size, 8)) };
        }
        let bytes = kept.below.bytes.load(Ordering::Relaxed);
        // SAFETY: the other threads have ended.
        assert_eq!(bytes, unsafe { &*kept.room.get() }.bytes);
    }
}
