//! The bytes of one simulated file: what a reader sees, and what a power cut may leave of it.
//!
//! A write goes to the live image at once, and leaves behind a *version* of each page it touched.
//! Until a sync, a power cut may keep any of these, sector by sector: for each sector the latest
//! version whose write was kept, or what was durable before. A version is the whole page as it was
//! after its write, so what is kept of a later write brings the earlier ones in the same sector
//! with it, as a page cache's write-back does.
//!
//! Lengths have a history of their own, because they reach the disk by another way than the data:
//! a file may come back long and empty, or short, whatever was written.

use super::power_cut::{Fate, PowerCut};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub(super) const PAGE: usize = 4096;
pub(super) const SECTOR: usize = 512;
const SECTORS: usize = PAGE / SECTOR;

type Page = Arc<[u8; PAGE]>;

/// Numbers the writes, cuts and extensions of a disk in their order.
pub(super) type WriteId = u64;

/// The bytes of one file.
#[derive(Debug, Default)]
pub(super) struct Contents {
    live: Image,
    durable: Image,
    /// Pages whose live bytes may differ from the durable ones.
    unsynced: BTreeMap<u64, Unsynced>,
    resizes: Vec<Resize>,
}

/// Bytes and length. Absent pages are holes; bytes beyond the length are zeros.
#[derive(Debug, Default, Clone)]
struct Image {
    pages: BTreeMap<u64, Page>,
    len: u64,
}

#[derive(Debug, Default)]
struct Unsynced {
    /// In the order of their writes.
    versions: Vec<Version>,
    /// Whether the next sync writes the page. A failed one leaves pages behind that count as
    /// clean, and no later sync touches them.
    dirty: bool,
}

#[derive(Debug)]
struct Version {
    write: WriteId,
    /// A bit for each sector that the write touched.
    sectors: u8,
    page: Page,
}

#[derive(Debug, Clone, Copy)]
struct Resize {
    write: WriteId,
    len: u64,
    /// Whether it made the file shorter, and what lay beyond zero.
    is_cut: bool,
}

impl Contents {
    pub(super) fn len(&self) -> u64 {
        self.live.len
    }

    /// Pages that take room on the disk.
    pub(super) fn page_count(&self) -> u64 {
        self.live.pages.len() as u64
    }

    /// How many of the bytes from `offset` on could be written with `pages` more of room.
    pub(super) fn writable(&self, range: Range<u64>, mut pages: u64) -> u64 {
        for page in pages_of(&range) {
            if !self.live.pages.contains_key(&page) {
                if pages == 0 {
                    return (page * PAGE as u64).saturating_sub(range.start);
                }
                pages -= 1;
            }
        }
        range.end - range.start
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let available = self.live.len.saturating_sub(offset);
        let len = buf.len().min(usize::try_from(available).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < len {
            let (page, at) = place(offset + done as u64);
            let count = (PAGE - at).min(len - done);
            let target = &mut buf[done..done + count];
            match self.live.pages.get(&page) {
                Some(bytes) => target.copy_from_slice(&bytes[at..at + count]),
                None => target.fill(0),
            }
            done += count;
        }
        len
    }

    pub(super) fn write(&mut self, write: WriteId, bytes: &[u8], offset: u64) {
        let mut done = 0;
        while done < bytes.len() {
            let (page, at) = place(offset + done as u64);
            let count = (PAGE - at).min(bytes.len() - done);
            self.live.page_mut(page)[at..at + count].copy_from_slice(&bytes[done..done + count]);
            self.remember(write, page, at..at + count);
            done += count;
        }
        let end = offset + bytes.len() as u64;
        if end > self.live.len && !bytes.is_empty() {
            self.live.len = end;
            self.resizes.push(Resize { write, len: end, is_cut: false });
        }
    }

    pub(super) fn set_len(&mut self, write: WriteId, len: u64) {
        let is_cut = len < self.live.len;
        if len == self.live.len {
            return;
        }
        self.live.set_len(len);
        self.resizes.push(Resize { write, len, is_cut });
        let (page, at) = place(len);
        if is_cut && at > 0 && self.live.pages.contains_key(&page) {
            // The tail that became zero is a write to that page.
            self.remember(write, page, at..PAGE);
        }
    }

    /// A sync that succeeded.
    pub(super) fn sync(&mut self) {
        for resize in std::mem::take(&mut self.resizes) {
            self.durable.set_len(resize.len);
            if resize.is_cut {
                self.forget_before_cut(resize);
            }
        }
        // What is not dirty was given up by a sync that failed, and stays unsynced for ever.
        for (page, _) in self.unsynced.extract_if(.., |_, unsynced| unsynced.dirty) {
            match self.live.pages.get(&page) {
                Some(bytes) => self.durable.pages.insert(page, Arc::clone(bytes)),
                None => self.durable.pages.remove(&page),
            };
        }
    }

    /// A sync that failed: the pages count as clean from now on, and may or may not be written.
    pub(super) fn give_up(&mut self) {
        for unsynced in self.unsynced.values_mut() {
            unsynced.dirty = false;
        }
    }

    /// A write that is durable when it returns (`O_DSYNC`): its own pages, and the length.
    pub(super) fn sync_range(&mut self, range: Range<u64>) {
        if self.resizes.iter().any(|resize| resize.is_cut) {
            return self.sync();
        }
        self.resizes.clear();
        self.durable.len = self.live.len;
        for page in pages_of(&range) {
            self.unsynced.remove(&page);
            if let Some(bytes) = self.live.pages.get(&page) {
                self.durable.pages.insert(page, Arc::clone(bytes));
            }
        }
    }

    /// The page cache forgets, page by page as `forgets` says, what a failed sync left behind.
    pub(super) fn drop_given_up_pages(&mut self, mut forgets: impl FnMut() -> bool) {
        for (page, _) in self.unsynced.extract_if(.., |_, page| !page.dirty && forgets()) {
            match self.durable.pages.get(&page) {
                Some(bytes) => self.live.pages.insert(page, Arc::clone(bytes)),
                None => self.live.pages.remove(&page),
            };
        }
        // The durable length may still be the longer one, the live bytes end where they end.
        let len = self.live.len;
        self.live.set_len(len);
    }

    /// The power fails.
    pub(super) fn cut_power(&mut self, cut: &mut PowerCut) {
        let applied = cut.prefix_of(self.resizes.len());
        let len = applied.checked_sub(1).map_or(self.durable.len, |last| self.resizes[last].len);
        let (applied, lost) = self.resizes.split_at(applied);
        for resize in applied {
            self.durable.set_len(resize.len);
        }
        for (page, unsynced) in std::mem::take(&mut self.unsynced) {
            for sector in 0..SECTORS {
                let end = page * PAGE as u64 + ((sector + 1) * SECTOR) as u64;
                let cuts_here = |resize: &&Resize| resize.is_cut && resize.len < end;
                // What was written before a cut that reached the disk is gone; what was written
                // after one that did not went to blocks that the file never got.
                let from = applied.iter().rfind(cuts_here).map_or(0, |resize| resize.write);
                let to = lost.iter().find(cuts_here).map_or(WriteId::MAX, |resize| resize.write);
                let kept = unsynced.versions.iter().rfind(|version| {
                    version.sectors & 1 << sector != 0
                        && (from..to).contains(&version.write)
                        && match cut.fate_of(version.write) {
                            Fate::Kept => true,
                            Fate::Lost => false,
                            Fate::Torn => cut.coin(),
                        }
                });
                if let Some(version) = kept {
                    let at = sector * SECTOR..(sector + 1) * SECTOR;
                    self.durable.page_mut(page)[at.clone()].copy_from_slice(&version.page[at]);
                }
            }
        }
        // Once more, for the bytes that were kept beyond the end.
        self.durable.set_len(len);
        self.resizes.clear();
        self.live = self.durable.clone();
    }

    /// Turns one bit over, on the medium and in the cache.
    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) {
        let (page, at) = place(offset);
        let image_bit = 1 << bit;
        for image in [&mut self.durable, &mut self.live] {
            if offset < image.len {
                image.page_mut(page)[at] ^= image_bit;
            }
        }
    }

    /// What lay beyond a cut that became durable cannot come back.
    fn forget_before_cut(&mut self, cut: Resize) {
        for unsynced in self.unsynced.range_mut(cut.len / PAGE as u64..).map(|(_, page)| page) {
            unsynced.versions.retain(|version| version.write >= cut.write);
        }
    }

    fn remember(&mut self, write: WriteId, page: u64, range: Range<usize>) {
        let bytes = Arc::clone(&self.live.pages[&page]);
        let sectors = (range.start / SECTOR..range.end.div_ceil(SECTOR))
            .fold(0, |mask, sector| mask | 1 << sector);
        let unsynced = self.unsynced.entry(page).or_default();
        unsynced.dirty = true;
        unsynced.versions.push(Version { write, sectors, page: bytes });
    }
}

impl Image {
    fn page_mut(&mut self, page: u64) -> &mut [u8; PAGE] {
        Arc::make_mut(self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE])))
    }

    /// Sets the length; what lies beyond is zero afterwards.
    fn set_len(&mut self, len: u64) {
        let (page, at) = place(len);
        if at > 0 && self.pages.contains_key(&page) {
            self.page_mut(page)[at..].fill(0);
        }
        self.pages.split_off(&len.div_ceil(PAGE as u64));
        self.len = len;
    }
}

/// The page of an offset, and the place in it.
fn place(offset: u64) -> (u64, usize) {
    let at = usize::try_from(offset % PAGE as u64).expect("below the page size");
    (offset / PAGE as u64, at)
}

fn pages_of(range: &Range<u64>) -> Range<u64> {
    range.start / PAGE as u64..range.end.div_ceil(PAGE as u64)
}
