//! Advice to the kernel about memory. A hint changes how fast something is, never what it does.

use rustix::mm::{Advice, madvise};
use std::ptr::NonNull;

/// Memory that is about to be touched for the first time, and used for long: huge pages suit it.
/// They cost one fault where small ones cost five hundred, and direct IO finds them faster.
#[allow(unsafe_code, reason = "the advice is given by address")]
pub fn prefer_huge_pages(start: NonNull<u8>, len: usize) {
    // SAFETY: the advice changes no byte of whatever lies there, and is refused where nothing does.
    let _ = unsafe { madvise(start.as_ptr().cast(), len, Advice::LinuxHugepage) };
}
