//! Going through the batches of a segment file, header by header or byte by byte.

use super::error::ImportError;
use afluente_env::disk::{Access, Disk, File, OpenHow, read_full_at};
use afluente_protocol::records::{
    BATCH_HEADER_BYTES, Batch, BatchHeader, LegacyMessage, RecordsError,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much is read at once. Headers of small batches then come many at a time, and large batches
/// are passed over.
const READ_BYTES: u64 = 256 << 10;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// Headers; of control batches also what they say.
    Headers,
    /// Everything, with checksums.
    Whole,
}

/// Reads a segment file from some batch on.
pub(super) struct Scanner {
    file: Arc<dyn File>,
    path: PathBuf,
    scan: Scan,
    /// The length of the file.
    len: u64,
    /// Where the next batch begins.
    position: u64,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    buffer_at: u64,
    /// Why there is no batch at `position`, once that was found.
    fault: Option<Fault>,
}

/// A batch of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanned<'a> {
    /// Where it begins.
    pub(super) position: u64,
    pub(super) header: BatchHeader,
    /// The batch, if it was read whole.
    pub(super) batch: Option<Batch<'a>>,
}

/// Why no batch begins at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) position: u64,
    pub(super) error: RecordsError,
}

impl Scanner {
    /// Begins at `position`, where a batch begins.
    pub(super) fn open(
        disk: &dyn Disk,
        path: &Path,
        position: u64,
        scan: Scan,
    ) -> Result<Self, ImportError> {
        let failed = |source| ImportError::io("read", path, source);
        let file = disk.open(path, OpenHow::buffered(Access::Read)).map_err(failed)?;
        let len = file.len().map_err(failed)?;
        let (buffer, buffer_at) = (Vec::new(), position);
        let path = path.to_owned();
        Ok(Self { file, path, scan, len, position, buffer, buffer_at, fault: None })
    }

    /// The next batch; `None` at the end, and from the first place on where there is none: see
    /// [`Scanner::fault`].
    pub(super) fn next(&mut self) -> Result<Option<Scanned<'_>>, ImportError> {
        if self.fault.is_some() || self.position >= self.len {
            return Ok(None);
        }
        let position = self.position;
        self.fill(BATCH_HEADER_BYTES as u64)?;
        let header = match BatchHeader::parse(self.buffered()) {
            Ok(header) => header,
            Err(error @ RecordsError::LegacyFormat(_)) => {
                let error = self.legacy_fault(error)?;
                return Ok(self.stop(error));
            }
            Err(error) => return Ok(self.stop(error)),
        };
        let size = header.size_bytes() as u64;
        let available = self.len - position;
        if size > available {
            let needed = header.size_bytes();
            let available = usize::try_from(available).unwrap_or(usize::MAX);
            return Ok(self.stop(RecordsError::Truncated { needed, available }));
        }
        let reads_whole = self.scan == Scan::Whole || header.attributes.is_control();
        if reads_whole {
            self.fill(size)?;
            let checked = Batch::parse(self.buffered())
                .and_then(|batch| batch.verify_crc())
                .and_then(|()| header.check_shape());
            if let Err(error) = checked {
                return Ok(self.stop(error));
            }
        } else if let Err(error) = header.check_shape() {
            return Ok(self.stop(error));
        }
        self.position += size;
        let batch = reads_whole.then(|| {
            let begin = usize::try_from(position - self.buffer_at).expect("it lies in the buffer");
            Batch::parse(&self.buffer[begin..]).expect("it was parsed above")
        });
        Ok(Some(Scanned { position, header, batch }))
    }

    /// Where the next batch would begin: at the end, the length of the file.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Why the batches end before the file does.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// What is wrong where a batch has the magic of an older message format: it is a message of
    /// that format, or zeros and rubbish that only look like one.
    fn legacy_fault(&mut self, error: RecordsError) -> Result<RecordsError, ImportError> {
        let size = self.buffered().get(8..12).and_then(|size| size.first_chunk::<4>());
        let size = size.map_or(0, |size| u64::from(u32::from_be_bytes(*size)));
        self.fill((size + 12).min(self.len - self.position))?;
        let message = LegacyMessage::parse(self.buffered());
        Ok(match message.and_then(|message| message.verify_crc()) {
            Ok(()) => error,
            Err(rubbish) => rubbish,
        })
    }

    fn stop(&mut self, error: RecordsError) -> Option<Scanned<'_>> {
        self.fault = Some(Fault { position: self.position, error });
        None
    }

    /// What is in the buffer from the position on.
    fn buffered(&self) -> &[u8] {
        let begin = usize::try_from(self.position - self.buffer_at).unwrap_or(usize::MAX);
        self.buffer.get(begin..).unwrap_or(&[])
    }

    /// Has at least `count` bytes in the buffer from the position on, or all up to the end.
    fn fill(&mut self, count: u64) -> Result<(), ImportError> {
        let end = self.len.min(self.position + count);
        let begins = self.buffer_at <= self.position;
        if begins && end <= self.buffer_at + self.buffer.len() as u64 {
            return Ok(());
        }
        let wanted = (self.len - self.position).min(count.max(READ_BYTES));
        let wanted = usize::try_from(wanted).expect("a batch is smaller than 2 GiB");
        self.buffer.resize(wanted, 0);
        self.buffer_at = self.position;
        read_full_at(self.file.as_ref(), &mut self.buffer, self.position)
            .map_err(|source| ImportError::io("read", &self.path, source))
    }
}
