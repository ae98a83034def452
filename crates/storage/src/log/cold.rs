//! Finding and walking batches in segment files.

use super::Log;
use super::read::{Limits, aborted_between};
use super::state::LogState;
use crate::cold_read::{Place, READ_REMEDY, SegmentFile};
use crate::error::{IoContext, StorageError};
use crate::read::{ReadData, ReadError, ReadOutcome, ReadRequest, UpTo};
use crate::segment::SegmentName;
use afluente_env::disk::{Access, OpenHow, read_full_at};
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::{BATCH_HEADER_BYTES, BatchHeader, CRC_COVERS_FROM};
use afluente_protocol::rope::Records;
use afluente_stdx::crc32c::Crc32c;
use bytes::Bytes;
use std::sync::Arc;

/// Reads whole batches from `request.offset` on.
pub(crate) fn read(log: &Arc<Log>, request: &ReadRequest) -> Result<ReadData, ReadError> {
    let mut offset = request.offset;
    loop {
        // What was evicted when the read began may have been truncated or deleted meanwhile; what
        // the state says now is what counts.
        let (limits, found) = {
            let state = log.state.lock();
            let limits = log.limits(&state, request)?;
            let found = locate(log, &state, offset);
            (limits, found)
        };
        let Some(found) = found else {
            return in_memory(log, request);
        };
        match read_segment(log, request, &limits, &found, offset)? {
            // Nothing of the segment is at or after the offset, as after compaction.
            Read::NothingLeft(next) => offset = next,
            Read::Data(data) => return Ok(data),
        }
    }
}

fn in_memory(log: &Log, request: &ReadRequest) -> Result<ReadData, ReadError> {
    match log.read(*request)? {
        ReadOutcome::Data(data) => Ok(data),
        ReadOutcome::Cold(_) => Err(ReadError::Storage(StorageError::Config(format!(
            "log {} changed too fast to be read",
            log.partition()
        )))),
    }
}

enum Read {
    Data(ReadData),
    NothingLeft(Offset),
}

/// The segment that an offset is in, as far as it is not in memory.
struct Found {
    name: SegmentName,
    end: u64,
    /// The offset at which the next segment or memory begins.
    next_base: Offset,
    /// A batch at or before the offset, from the index in memory.
    hint: Option<Place>,
    /// Entries of the offset index file.
    index_entries: u64,
}

fn locate(log: &Log, state: &LogState, offset: Offset) -> Option<Found> {
    let in_memory = state.chunks.front();
    if in_memory.is_some_and(|chunk| offset >= chunk.base) || offset >= state.end() {
        return None;
    }
    let index = state.segments.partition_point(|segment| segment.base <= offset).checked_sub(1)?;
    let segment = &state.segments[index];
    let mut end = segment.size;
    let mut next_base = state.segments.get(index + 1).map_or(state.end(), |next| next.base);
    if let Some(chunk) = in_memory.filter(|chunk| chunk.segment == segment.base) {
        end = chunk.position + chunk.head as u64;
        next_base = chunk.base;
    }
    let hint = log
        .dir
        .cold
        .take_place(log.id(), offset)
        .filter(|place| place.segment == segment.name() && place.position < end);
    let hint = hint.or_else(|| {
        let position = segment.growth.as_ref()?.floor(segment.base, offset)?;
        Some(Place { segment: segment.name(), position })
    });
    let index_entries = u64::from(segment.offset_index_bytes) / 8;
    Some(Found { name: segment.name(), end, next_base, hint, index_entries })
}

fn read_segment(
    log: &Arc<Log>,
    request: &ReadRequest,
    limits: &Limits,
    found: &Found,
    offset: Offset,
) -> Result<Read, ReadError> {
    let cold = &log.dir.cold;
    let file = cold.open(log, found.name, found.end)?;
    let Some((mut walk, first)) = find(log, &file, request.max_bytes, found, offset)? else {
        return Ok(Read::NothingLeft(found.next_base.max(offset.plus(1))));
    };
    let mut records = Records::default();
    let mut next_offset = offset;
    let mut left = request.max_bytes;
    let mut header = first;
    loop {
        let size = header.size_bytes();
        let too_large = size > left && !(request.at_least_one_batch && records.is_empty());
        let is_beyond = header.next_offset() > limits.up_to;
        // Of the first one it has to be sure that it is beyond: else the reader waits for ever.
        if too_large || is_beyond && !records.is_empty() {
            break;
        }
        let start = walk.position;
        let taken = walk.take(&header);
        let after = walk.header_in_any_order();
        let taken = taken.and_then(|batch| {
            // The checksum does not cover the base offset: what comes next must begin behind it.
            let next = match &after {
                Ok(Some(next)) => next.base_offset,
                Ok(None) => found.next_base,
                Err(_) => Offset(i64::MAX),
            };
            if header.next_offset() <= next {
                return Ok(batch);
            }
            walk.position = start;
            let expected = format!("a batch that ends before offset {next}, where the next begins");
            Err(walk.corrupt(&expected, format!("one up to offset {}", header.last_offset())))
        });
        if is_beyond && taken.is_ok() {
            walk.position = start;
            break;
        }
        match taken {
            Ok(batch) => batch.into_pieces().into_iter().for_each(|piece| records.push(piece)),
            Err(error) if records.is_empty() => return Err(error.into()),
            // What comes before is sound. Who goes on from there is told.
            Err(_) => break,
        }
        left = left.saturating_sub(size);
        next_offset = header.next_offset();
        match after {
            Ok(Some(next)) => header = next,
            Ok(None) | Err(_) => break,
        }
    }
    if walk.position < file.end {
        let place = Place { segment: found.name, position: walk.position };
        cold.note_place(log.id(), next_offset, place);
    }
    cold.read_ahead(log, &file, walk.position);
    if walk.position == file.end && next_offset < found.next_base {
        // Compaction has left a gap at the end of the segment.
        next_offset = found.next_base.min(limits.up_to).max(next_offset);
    }
    let mut data = limits.data(records, next_offset);
    if request.up_to == UpTo::LastStable {
        data.aborted = aborted_between(&log.state.lock(), request.offset, next_offset);
    }
    Ok(Read::Data(data))
}

/// Goes to the batch that holds the offset, or to the first one behind it; `None` if there is none.
fn find<'a>(
    log: &'a Arc<Log>,
    file: &'a SegmentFile,
    want: usize,
    found: &Found,
    offset: Offset,
) -> Result<Option<(Walk<'a>, BatchHeader)>, StorageError> {
    if let Some(place) = found.hint {
        let mut walk = Walk::new(log, file, place.position, want);
        if let Some(header) = walk.header()?
            && header.last_offset() >= offset
        {
            return Ok(Some((walk, header)));
        }
        // It was right when it was noted, or damage makes it look wrong: from a sure place, then.
    }
    let mut walk = Walk::new(log, file, index_floor(log, file, found, offset)?, want);
    let mut passed = None;
    let first = loop {
        match walk.header()? {
            Some(header) if header.last_offset() < offset => {
                passed = Some((walk.position, header));
                walk.skip(header.size_bytes());
            }
            first => break first,
        }
    };
    let ends_with = first.map_or(found.next_base, |first| first.base_offset);
    if let Some((position, header)) = passed
        && ends_with > offset
    {
        // A gap, or the batch that was passed over does not end where its header says.
        Walk::new(log, file, position, 0).take(&header)?;
    }
    Ok(first.map(|first| (walk, first)))
}

/// The position of a batch at or before `offset`, by the offset index file. An entry that does not
/// point to the batch that it names is not believed, and the segment is walked from its beginning.
fn index_floor(
    log: &Arc<Log>,
    file: &SegmentFile,
    found: &Found,
    offset: Offset,
) -> Result<u64, StorageError> {
    if found.index_entries == 0 {
        return Ok(0);
    }
    let path = found.name.offset_index(&log.directory());
    let how = OpenHow::buffered(Access::Read);
    let Ok(index) = log.dir.env.disk.open(&path, how) else { return Ok(0) };
    let wanted = offset.0 - found.name.base.0;
    let (mut low, mut high) = (0, found.index_entries);
    let mut best = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let mut entry = [0; 8];
        if read_full_at(index.as_ref(), &mut entry, middle * 8).doing("read index", &path).is_err()
        {
            return Ok(0);
        }
        let relative = i64::from(u32::from_be_bytes(*entry.first_chunk().expect("eight bytes")));
        let position = u32::from_be_bytes(*entry.last_chunk().expect("eight bytes"));
        if relative <= wanted {
            best = Some((relative, u64::from(position)));
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let Some((relative, position)) = best else { return Ok(0) };
    let named = Offset(found.name.base.0 + relative);
    let walk = &mut Walk::new(log, file, position, 0);
    let is_right = position < file.end
        && matches!(walk.header(), Ok(Some(header)) if header.last_offset() == named);
    if !is_right {
        tracing::warn!(index = %path.display(), "offset index is wrong and is not used");
    }
    Ok(if is_right { position } else { 0 })
}

/// Goes from batch to batch through a segment file.
pub(crate) struct Walk<'a> {
    log: &'a Arc<Log>,
    file: &'a SegmentFile,
    pub(crate) position: u64,
    /// What will probably be read from here on.
    want: usize,
    /// The bytes from `position` on that are at hand.
    here: Bytes,
    /// Where the last batch was met, and its last offset.
    previous: Option<(u64, Offset)>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        log: &'a Arc<Log>,
        file: &'a SegmentFile,
        position: u64,
        want: usize,
    ) -> Self {
        Self { log, file, position, want, here: Bytes::new(), previous: None }
    }

    /// The header of the batch here, which must come behind those before; `None` at the end of the
    /// file.
    pub(crate) fn header(&mut self) -> Result<Option<BatchHeader>, StorageError> {
        let header = self.header_in_any_order()?;
        if let Some(header) = &header {
            let base = self.file.name.base;
            if header.base_offset < base {
                let found = format!("a batch with base offset {}", header.base_offset);
                return Err(self.corrupt(&format!("a batch at offset {base} or behind"), found));
            }
            if let Some((position, last)) = self.previous
                && position != self.position
                && header.base_offset <= last
            {
                let found = format!("a batch with base offset {}", header.base_offset);
                return Err(self.corrupt(&format!("a batch behind offset {last}"), found));
            }
            self.previous = Some((self.position, header.last_offset()));
        }
        Ok(header)
    }

    /// The header of the batch here, wherever it belongs.
    fn header_in_any_order(&mut self) -> Result<Option<BatchHeader>, StorageError> {
        if self.position >= self.file.end {
            return Ok(None);
        }
        let mut raw = [0; BATCH_HEADER_BYTES];
        self.fill()?;
        let header = if self.here.len() >= BATCH_HEADER_BYTES {
            BatchHeader::parse(&self.here)
        } else {
            // It lies across two blocks.
            let len = usize::try_from(self.file.end - self.position).unwrap_or(usize::MAX);
            let len = len.min(BATCH_HEADER_BYTES);
            let mut at = self.here.len().min(len);
            raw[..at].copy_from_slice(&self.here[..at]);
            while at < len {
                let more = self.read_at(self.position + at as u64)?;
                let part = more.len().min(len - at);
                raw[at..at + part].copy_from_slice(&more[..part]);
                at += part;
            }
            BatchHeader::parse(&raw[..len])
        };
        let header = header.map_err(|error| self.corrupt("a record batch", error.to_string()))?;
        if header.size_bytes() as u64 > self.file.end - self.position {
            let found = format!("a batch of {} bytes", header.size_bytes());
            let left = format!("at most {} bytes more", self.file.end - self.position);
            return Err(self.corrupt(&left, found));
        }
        Ok(Some(header))
    }

    /// Passes over a batch.
    pub(crate) fn skip(&mut self, size: usize) {
        self.position += size as u64;
        if size <= self.here.len() {
            self.here = self.here.slice(size..);
        } else {
            self.here = Bytes::new();
        }
    }

    /// Takes the batch here along, in as many pieces as it lies in blocks, once its checksum is
    /// found right.
    pub(crate) fn take(&mut self, header: &BatchHeader) -> Result<Records, StorageError> {
        let start = self.position;
        let mut pieces = Records::default();
        let mut crc = Crc32c::new();
        let size = header.size_bytes();
        let mut taken = 0;
        while taken < size {
            if let Err(error) = self.fill() {
                self.position = start;
                return Err(error);
            }
            let part = (size - taken).min(self.here.len());
            let piece = self.here.slice(..part);
            crc.update(&piece[CRC_COVERS_FROM.saturating_sub(taken).min(part)..]);
            pieces.push(piece);
            self.here = self.here.slice(part..);
            self.position += part as u64;
            self.want = self.want.saturating_sub(part);
            taken += part;
        }
        if crc.value() != header.crc {
            self.position = start;
            let expected = format!("a batch with the CRC {:#010x}", header.crc);
            let found = format!("one with {:#010x}, at offset {}", crc.value(), header.base_offset);
            return Err(self.corrupt(&expected, found));
        }
        Ok(pieces)
    }

    fn fill(&mut self) -> Result<(), StorageError> {
        if self.here.is_empty() {
            self.here = self.read_at(self.position)?;
        }
        Ok(())
    }

    fn read_at(&self, position: u64) -> Result<Bytes, StorageError> {
        self.log.dir.cold.read(self.log, self.file, position, self.want)
    }

    pub(crate) fn corrupt(&self, expected: &str, found: String) -> StorageError {
        StorageError::Corrupt {
            path: self.file.path.clone(),
            position: self.position,
            expected: expected.to_owned(),
            found,
            remedy: READ_REMEDY,
        }
    }
}
