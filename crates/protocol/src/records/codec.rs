//! Compressing and decompressing the records section of a batch.
//!
//! [`Compressor`] and [`Decompressor`] hold the tables and contexts of the codecs, which cost more
//! to set up than a small batch costs to compress: keep one of each per thread.
//!
//! Decompression is bounded. The output grows in steps as bytes come out, up to the limit that the
//! caller gives, and never by a size that the input merely claims: a bomb costs its limit and no
//! more.
//!
//! | codec | library | written as | read |
//! |---|---|---|---|
//! | gzip | `flate2` on `zlib-rs` | one member | any number of members |
//! | snappy | `snap` | snappy-java's framing, blocks of 32 KiB | that framing, or one bare block |
//! | lz4 | `lz4_flex` | LZ4 frame, independent blocks of 64 KiB, no checksums | any LZ4 frame |
//! | zstd | `zstd` | one frame with its content size | any number of frames |

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::borrow::Cow;

use super::{Batch, CodecId, RecordsError};

/// A codec with its level, as a producer or a topic configures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// `none`.
    #[default]
    None,
    /// `gzip` with `compression.gzip.level`.
    Gzip(GzipLevel),
    /// `snappy`, which has no levels.
    Snappy,
    /// `lz4` with `compression.lz4.level`.
    Lz4(Lz4Level),
    /// `zstd` with `compression.zstd.level`.
    Zstd(ZstdLevel),
}

impl Compression {
    /// The codec of these settings.
    #[must_use]
    pub fn codec(self) -> CodecId {
        match self {
            Self::None => CodecId::None,
            Self::Gzip(_) => CodecId::Gzip,
            Self::Snappy => CodecId::Snappy,
            Self::Lz4(_) => CodecId::Lz4,
            Self::Zstd(_) => CodecId::Zstd,
        }
    }
}

impl From<CodecId> for Compression {
    /// The codec with Kafka's default level.
    fn from(codec: CodecId) -> Self {
        match codec {
            CodecId::None => Self::None,
            CodecId::Gzip => Self::Gzip(GzipLevel::default()),
            CodecId::Snappy => Self::Snappy,
            CodecId::Lz4 => Self::Lz4(Lz4Level::default()),
            CodecId::Zstd => Self::Zstd(ZstdLevel::default()),
        }
    }
}

/// Declares the level of one codec: a range, and the default that Kafka has.
macro_rules! level {
    ($(#[$doc:meta])* $name:ident, $min:literal..=$max:literal, default $default:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(i32);

        impl $name {
            /// The least level.
            pub const MIN: i32 = $min;
            /// The greatest level.
            pub const MAX: i32 = $max;

            /// The level, if it lies in the range or is Kafka's default.
            #[must_use]
            pub fn new(level: i32) -> Option<Self> {
                (level == $default || (Self::MIN..=Self::MAX).contains(&level)).then_some(Self(level))
            }

            /// The number of the level.
            #[must_use]
            pub fn get(self) -> i32 {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }
    };
}

level! {
    /// 1 (fast) to 9 (small), or -1 for the library's own choice, which is 6.
    GzipLevel, 1..=9, default -1
}

level! {
    /// 1 to 17. Every level is accepted and gives the output of Kafka's default level, 9, which is
    /// the fast compressor: `lz4_flex` has no high-compression mode. The frames differ in size
    /// only.
    Lz4Level, 1..=17, default 9
}

level! {
    /// -131072 (fast) to 22 (small).
    ZstdLevel, -131_072..=22, default 3
}

/// Compresses records sections, one after the other.
#[derive(Default)]
pub struct Compressor {
    gzip: gzip::Compressor,
    snappy: snappy::Compressor,
    lz4: lz4::Compressor,
    zstd: zstd::Compressor,
}

impl Compressor {
    /// A compressor that has set up nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `input`, compressed, to `out`.
    pub fn compress(&mut self, compression: Compression, input: &[u8], out: &mut Vec<u8>) {
        match compression {
            Compression::None => out.extend_from_slice(input),
            Compression::Gzip(level) => self.gzip.compress(level.get(), input, out),
            Compression::Snappy => self.snappy.compress(input, out),
            Compression::Lz4(_) => self.lz4.compress(input, out),
            Compression::Zstd(level) => self.zstd.compress(level.get(), input, out),
        }
    }
}

/// Decompresses records sections, one after the other.
#[derive(Default)]
pub struct Decompressor {
    snappy: snappy::Decompressor,
    zstd: zstd::Decompressor,
}

impl Decompressor {
    /// A decompressor that has set up nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `input`, decompressed, to `out`, as long as that is no more than `bytes_max` bytes.
    ///
    /// After an error `out` holds what it held before.
    ///
    /// # Errors
    /// [`RecordsError::Undecodable`] if `input` is not what `codec` writes, and
    /// [`RecordsError::TooLargeUncompressed`] if more than `bytes_max` bytes would come out.
    pub fn decompress(
        &mut self,
        codec: CodecId,
        input: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordsError> {
        self.run(codec, input, lz4::HeaderChecksum::Verified, bytes_max, out)
    }

    /// As [`Decompressor::decompress`], for message format v0: there, LZ4 frames carry a header
    /// checksum that is computed wrongly.
    pub(super) fn decompress_v0(
        &mut self,
        codec: CodecId,
        input: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordsError> {
        self.run(codec, input, lz4::HeaderChecksum::Ignored, bytes_max, out)
    }

    fn run(
        &mut self,
        codec: CodecId,
        input: &[u8],
        lz4_header: lz4::HeaderChecksum,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordsError> {
        let before = out.len();
        let mut sink = Sink { out, before, bytes_max };
        let done = match codec {
            CodecId::None => sink.extend(input),
            CodecId::Gzip => gzip::decompress(input, &mut sink),
            CodecId::Snappy => self.snappy.decompress(input, &mut sink),
            CodecId::Lz4 => lz4::decompress(input, lz4_header, &mut sink),
            CodecId::Zstd => self.zstd.decompress(input, &mut sink),
        };
        done.map_err(|fault| {
            out.truncate(before);
            match fault {
                Fault::TooLarge => RecordsError::TooLargeUncompressed { codec, bytes_max },
                Fault::Undecodable(reason) => RecordsError::Undecodable { codec, reason },
            }
        })
    }
}

impl<'a> Batch<'a> {
    /// The records section without compression: the bytes of the batch themselves where there is
    /// none, else new ones, `bytes_max` at most.
    ///
    /// # Errors
    /// As [`Decompressor::decompress`], and [`RecordsError::UnknownCodec`].
    pub fn uncompressed(
        &self,
        decompressor: &mut Decompressor,
        bytes_max: usize,
    ) -> Result<Cow<'a, [u8]>, RecordsError> {
        let codec = self.header().attributes.codec()?;
        if codec == CodecId::None {
            return Ok(Cow::Borrowed(self.records_section()));
        }
        let mut out = Vec::new();
        decompressor.decompress(codec, self.records_section(), bytes_max, &mut out)?;
        Ok(Cow::Owned(out))
    }
}

/// Why a codec gave up.
#[derive(Debug)]
enum Fault {
    TooLarge,
    Undecodable(String),
}

impl Fault {
    fn undecodable(reason: impl Into<String>) -> Self {
        Self::Undecodable(reason.into())
    }

    fn truncated() -> Self {
        Self::undecodable("the compressed data ends too early")
    }
}

/// Where decompressed bytes go: the end of a vector, with a limit.
struct Sink<'a> {
    out: &'a mut Vec<u8>,
    before: usize,
    bytes_max: usize,
}

impl Sink<'_> {
    /// The first step in which the output grows; later ones double it.
    const STEP_BYTES_MIN: usize = 16 * 1024;

    fn produced(&self) -> usize {
        self.out.len() - self.before
    }

    /// How many bytes may still come.
    fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.produced())
    }

    /// Makes room for a next step, in proportion to what came out so far and to `input_bytes`.
    ///
    /// One byte more than the limit is made room for, so that output that just fits is told from
    /// output that does not.
    fn grow(&mut self, input_bytes: usize) -> Result<(), Fault> {
        if self.produced() > self.bytes_max {
            return Err(Fault::TooLarge);
        }
        let step = self.produced().max(input_bytes.saturating_mul(4)).max(Self::STEP_BYTES_MIN);
        self.out.reserve_exact(step.min(self.room() + 1));
        Ok(())
    }

    /// The end of the output: what has come is within the limit.
    fn finish(&self) -> Result<(), Fault> {
        if self.produced() > self.bytes_max { Err(Fault::TooLarge) } else { Ok(()) }
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.len() > self.room() {
            return Err(Fault::TooLarge);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends a block that decompresses to at most `block_bytes_max` bytes: `decode` is handed
    /// what came out so far and that much space, and says how much of it it has used.
    fn extend_by_block(
        &mut self,
        block_bytes_max: usize,
        decode: impl FnOnce(&[u8], &mut [u8]) -> Result<usize, Fault>,
    ) -> Result<(), Fault> {
        let len = self.out.len();
        self.out.resize(len + block_bytes_max.min(self.room()), 0);
        let (done, space) = self.out.split_at_mut(len);
        let used = decode(&done[self.before..], space)?;
        self.out.truncate(len + used);
        Ok(())
    }
}
