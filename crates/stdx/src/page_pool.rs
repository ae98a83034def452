//! Memory in whole pages that is touched once and then used again and again.
//!
//! A page that the kernel has to hand out, zeroed, costs more than copying into it, so memory that
//! takes in a stream must not go back and forth to the allocator. A [`PagePool`] asks it for *slabs*
//! and cuts *runs* of pages out of them. A run comes back when the last reader of the buffer in it
//! is gone, is merged with its free neighbours, and serves again in any size.
//!
//! ```text
//! slab   | run in use | free     | run in use | free |
//!        0            a page     …                   SLAB_BYTES
//! ```
//!
//! **Bounds.** A pool keeps at most `bytes_max` of slabs, in whole slabs; what is asked for beyond
//! comes from slabs that are freed as soon as nothing in them is in use. A run that is larger than a
//! slab gets a slab of its own size. Finding, cutting and merging take logarithmic time.
#![allow(unsafe_code, reason = "pieces of one allocation have owners of their own")]

use crate::append_buf::ALIGNMENT;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard};

/// The size of a usual slab.
pub const SLAB_BYTES: usize = 4 << 20;
/// Where slabs begin: at a huge page, for kernels that have such.
const SLAB_ALIGNMENT: usize = 2 << 20;

/// Told of each new slab before it is touched: to say what kind of pages suits it.
pub type SlabAdvice = fn(NonNull<u8>, usize);

/// Slabs and their free runs. Shared by the buffers that were cut out of it.
pub struct PagePool {
    bytes_max: usize,
    advice: SlabAdvice,
    slabs: Mutex<Slabs>,
}

/// Pages that have an owner until they are dropped. Their contents are whatever was there before,
/// if anything.
pub(crate) struct PageRun {
    pub(crate) start: NonNull<u8>,
    pub(crate) len: usize,
    slab: usize,
    home: Arc<PagePool>,
}

// SAFETY: the pages of a run are its owner's alone, like those of a Box.
unsafe impl Send for PageRun {}
// SAFETY: a shared reference gives nothing but the address and the length.
unsafe impl Sync for PageRun {}

#[derive(Default)]
struct Slabs {
    /// By number; a number is used again when its slab was freed.
    slabs: Vec<Option<Slab>>,
    total_bytes: usize,
    /// All free runs: slab and place in it, and length.
    by_place: BTreeMap<(usize, usize), usize>,
    /// The same, shortest first.
    by_len: BTreeSet<(usize, usize, usize)>,
}

struct Slab {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a slab is the memory behind runs, each of which has one owner; it is freed by the pool.
unsafe impl Send for Slab {}

impl PagePool {
    /// A pool that keeps at most `bytes_max`, but at least one slab once it was asked for memory.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Self::with_advice(bytes_max, |_, _| ())
    }

    /// The same, with somebody to be told of each new slab.
    #[must_use]
    pub fn with_advice(bytes_max: usize, advice: SlabAdvice) -> Arc<Self> {
        let bytes_max = bytes_max.max(SLAB_BYTES);
        Arc::new(Self { bytes_max, advice, slabs: Mutex::default() })
    }

    /// Whether a buffer of `bytes` fits into what the pool has or may still have.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        let bytes = whole_pages(bytes);
        let slabs = self.lock();
        slabs.longest() >= bytes || slabs.total_bytes + bytes.max(SLAB_BYTES) <= self.bytes_max
    }

    /// Bytes of all slabs, in use and free.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.lock().total_bytes
    }

    /// Pages for `wanted` bytes if they are at hand, and else fewer, but for at least `needed`.
    pub(crate) fn take(self: &Arc<Self>, needed: usize, wanted: usize) -> PageRun {
        let needed = whole_pages(needed.max(1));
        let wanted = whole_pages(wanted).max(needed);
        let mut slabs = self.lock();
        let may_grow = slabs.total_bytes + wanted.max(SLAB_BYTES) <= self.bytes_max;
        let longest = slabs.longest();
        let len = if longest >= wanted || may_grow || longest < needed { wanted } else { longest };
        if longest < len {
            slabs.add(len.max(SLAB_BYTES), self.advice);
        }
        let (slab, at) = slabs.cut(len).expect("a slab was added if no run was long enough");
        let base = slabs.slabs[slab].as_ref().expect("a slab with a free run is there").start;
        // SAFETY: the run lies inside of the slab's allocation.
        let start = unsafe { base.add(at) };
        PageRun { start, len, slab, home: Arc::clone(self) }
    }

    fn give_back(&self, run: &PageRun) {
        let mut slabs = self.lock();
        let base = slabs.slabs[run.slab].as_ref().expect("a slab in use is there").start;
        let at = run.start.addr().get() - base.addr().get();
        slabs.merge(run.slab, at, run.len);
        if slabs.total_bytes > self.bytes_max {
            slabs.free_if_unused(run.slab);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slabs> {
        self.slabs.lock().expect("nothing panics between two states of a pool")
    }
}

impl Slabs {
    fn longest(&self) -> usize {
        self.by_len.last().map_or(0, |(len, ..)| *len)
    }

    fn add(&mut self, bytes: usize, advice: SlabAdvice) {
        let slab = Slab::allocate(bytes);
        advice(slab.start, bytes);
        let free = self.slabs.iter().position(Option::is_none);
        let number = free.unwrap_or_else(|| {
            self.slabs.push(None);
            self.slabs.len() - 1
        });
        self.slabs[number] = Some(slab);
        self.total_bytes += bytes;
        self.insert(number, 0, bytes);
    }

    /// Takes `len` bytes from the beginning of the shortest run that has them.
    fn cut(&mut self, len: usize) -> Option<(usize, usize)> {
        let (found, slab, at) = *self.by_len.range((len, 0, 0)..).next()?;
        self.remove(slab, at, found);
        if found > len {
            self.insert(slab, at + len, found - len);
        }
        Some((slab, at))
    }

    /// Takes back a run, together with what is free beside it.
    fn merge(&mut self, slab: usize, mut at: usize, mut len: usize) {
        let before = self.by_place.range((slab, 0)..(slab, at)).next_back();
        if let Some((&(_, before), &before_len)) = before
            && before + before_len == at
        {
            self.remove(slab, before, before_len);
            (at, len) = (before, len + before_len);
        }
        if let Some(&after_len) = self.by_place.get(&(slab, at + len)) {
            self.remove(slab, at + len, after_len);
            len += after_len;
        }
        self.insert(slab, at, len);
    }

    fn free_if_unused(&mut self, number: usize) {
        let slab = self.slabs[number].as_ref().expect("just used");
        let bytes = slab.layout.size();
        if self.by_place.get(&(number, 0)) == Some(&bytes) {
            self.remove(number, 0, bytes);
            self.total_bytes -= bytes;
            self.slabs[number] = None;
        }
    }

    fn insert(&mut self, slab: usize, at: usize, len: usize) {
        self.by_place.insert((slab, at), len);
        self.by_len.insert((len, slab, at));
    }

    fn remove(&mut self, slab: usize, at: usize, len: usize) {
        self.by_place.remove(&(slab, at));
        self.by_len.remove(&(len, slab, at));
    }
}

impl Slab {
    fn allocate(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes, SLAB_ALIGNMENT);
        let layout = layout.expect("the size fits the address space");
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { alloc(layout) });
        Self { start: start.unwrap_or_else(|| handle_alloc_error(layout)), layout }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, freed once; a run in use keeps the pool, and the pool
        // keeps a slab that is not free as a whole.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

impl Drop for PageRun {
    fn drop(&mut self) {
        self.home.give_back(self);
    }
}

fn whole_pages(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = ALIGNMENT;

    #[test]
    fn what_came_back_is_used_again_in_any_size() {
        let pool = PagePool::new(SLAB_BYTES);
        let runs: Vec<PageRun> = (0..8).map(|_| pool.take(PAGE, SLAB_BYTES / 8)).collect();
        let first = runs[0].start;
        assert!(!pool.has_room(1));
        drop(runs);
        let whole = pool.take(SLAB_BYTES, 0);
        assert_eq!((whole.start, whole.len), (first, SLAB_BYTES));
        assert_eq!(pool.total_bytes(), SLAB_BYTES);
    }

    #[test]
    fn a_shorter_run_will_do_where_it_is_enough() {
        let pool = PagePool::new(SLAB_BYTES);
        let most = pool.take(1, SLAB_BYTES - 2 * PAGE);
        assert_eq!(pool.take(1, 4 * PAGE).len, 2 * PAGE);
        assert!(pool.has_room(2 * PAGE) && !pool.has_room(3 * PAGE));
        // Nothing that is long enough: beyond the bound, until it comes back.
        let beyond = pool.take(3 * PAGE, 3 * PAGE);
        assert_eq!(pool.total_bytes(), 2 * SLAB_BYTES);
        drop(beyond);
        assert_eq!(pool.total_bytes(), SLAB_BYTES);
        drop(most);
        assert_eq!(pool.take(1, SLAB_BYTES).len, SLAB_BYTES);
    }

    #[test]
    fn a_run_larger_than_a_slab_has_one_of_its_own() {
        let pool = PagePool::new(0);
        let large = pool.take(SLAB_BYTES + 1, 0);
        assert_eq!(large.len, SLAB_BYTES + PAGE);
        drop(large);
        assert_eq!(pool.total_bytes(), 0);
    }

    #[test]
    fn runs_in_use_never_share_a_page() {
        let pool = PagePool::new(2 * SLAB_BYTES);
        let mut runs: Vec<PageRun> = Vec::new();
        let mut random = 1_u64;
        for _ in 0..if cfg!(miri) { 200 } else { 20_000 } {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = usize::try_from(random >> 33).expect("31 bits");
            if number % 5 < 3 && !runs.is_empty() {
                runs.swap_remove(number % runs.len());
            } else {
                let run = pool.take(1, number % (SLAB_BYTES / 4));
                let (from, to) = (run.start.addr().get(), run.start.addr().get() + run.len);
                for other in &runs {
                    let other_from = other.start.addr().get();
                    assert!(to <= other_from || other_from + other.len <= from);
                }
                runs.push(run);
            }
        }
        runs.clear();
        let slabs = pool.lock();
        let free: usize = slabs.by_place.values().sum();
        assert_eq!((free, slabs.by_len.len()), (slabs.total_bytes, slabs.by_place.len()));
        assert_eq!(slabs.by_len.len(), slabs.slabs.iter().flatten().count(), "all merged");
    }
}
