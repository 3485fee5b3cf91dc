//! An allocator that counts, for tests which show what does not allocate.
//!
//! A test binary makes it its global allocator:
//!
//! ```
//! use rewardpool_allocations::{CountingAllocator, of_this_thread};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! let before = of_this_thread();
//! let list = Vec::<u8>::with_capacity(100);
//! assert_eq!(of_this_thread() - before, 1);
//! # drop(list);
//! ```
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Allocations of all threads but those that were left out.
static OF_THE_PROCESS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OF_THIS_THREAD: Cell<u64> = const { Cell::new(0) };
    static IS_LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

/// How often this thread has allocated.
pub fn of_this_thread() -> u64 {
    OF_THIS_THREAD.get()
}

/// How often the threads of this process have allocated, except for those that were left out.
pub fn of_the_process() -> u64 {
    OF_THE_PROCESS.load(Ordering::SeqCst)
}

/// What this thread allocates from now on is none of the process: it is the test's own.
pub fn leave_out_this_thread() {
    IS_LEFT_OUT.set(true);
}

/// The system's allocator, with each allocation counted. To make an allocation larger counts, too.
#[derive(Debug)]
pub struct CountingAllocator;

// SAFETY: all calls go to the system's allocator unchanged; the counters do not allocate.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the same contract.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count() {
    OF_THIS_THREAD.set(OF_THIS_THREAD.get() + 1);
    if !IS_LEFT_OUT.get() {
        OF_THE_PROCESS.fetch_add(1, Ordering::SeqCst);
    }
}
