//! Decompression of messages (RFC 7692 section 7.2.2).

use alloc::vec::Vec;
use core::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{deflate::Deflate, negotiation::Direction};
use crate::ProtocolError;

/// The end of each compressed message, which its sender omits (RFC 7692 section 7.2.1), and the first byte of a
/// following block.
const TAIL_AND_MORE: [u8; 5] = [0x00, 0x00, 0xFF, 0xFF, 0x00];
/// Length of the tail without the following byte.
const TAIL_LEN: u64 = 4;
/// Number of bytes that are inflated at a time.
const BLOCK: usize = 16 << 10;
/// Maximum number of compressed bytes that the codec takes at a time. Blocks can be empty, so the size of the output
/// does not bound the work of the codec.
const STEP: usize = 8 << 10;

/// Work that one call of [`Connection::receive`](crate::Connection::receive) may spend on inflating. When it is spent,
/// inflating stops, also within a message, and the next call continues there.
///
/// The unit is the time of one inflated byte at the most: compressed bytes and calls of the codec take longer.
#[derive(Debug)]
pub(crate) struct Quota {
    left: usize,
}

impl Quota {
    /// One call inflates about as many bytes in a fraction of a millisecond.
    pub(crate) const PER_CALL: usize = 256 << 10;
    /// Work of one compressed byte, which can be part of an empty block.
    const COMPRESSED_BYTE_COST: usize = 16;
    /// Work of one call of the codec, which can be for a block of a few bytes.
    const CALL_COST: usize = 128;
    /// Maximum number of compressed bytes that one call of `receive` inflates.
    pub(crate) const MAX_COMPRESSED: usize = Self::PER_CALL / Self::COMPRESSED_BYTE_COST;

    pub(crate) const fn new() -> Self {
        Self { left: Self::PER_CALL }
    }

    const fn is_spent(&self) -> bool {
        self.left == 0
    }

    const fn spend(&mut self, compressed: usize, inflated: usize) {
        let work = compressed.saturating_mul(Self::COMPRESSED_BYTE_COST).saturating_add(inflated);
        self.left = self.left.saturating_sub(work.saturating_add(Self::CALL_COST));
    }
}

/// A piece of a message that was inflated, entirely or until the quota was spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inflated {
    /// Number of compressed bytes that the codec has taken.
    pub(crate) consumed: usize,
    /// `true` if the whole piece was inflated. Otherwise inflating has to be continued with the rest of the piece,
    /// which can be empty.
    pub(crate) finished: bool,
}

/// Decompressor of the messages of the other end.
pub(crate) struct Inflater {
    direction: Direction,
    settings: Deflate,
    /// Created for the first message. Between messages it is stored here only if it keeps its context.
    codec: Option<Inflate>,
    /// `true` if a byte of the message in progress has arrived.
    is_begun: bool,
    /// Size of the message in progress, in bytes.
    inflated: usize,
    /// `true` if the latest block was marked as the final one and no bytes came after it.
    ended: bool,
}

/// Maximum size of a decompressed message, and the error for a larger one.
#[derive(Clone, Copy)]
struct Bound {
    size: usize,
    error: ProtocolError,
}

impl Inflater {
    /// Size in bytes up to which the ratio is not checked.
    const RATIO_CHECKED_FROM: u64 = 64 << 10;

    /// Size in bytes of a codec.
    const CODEC: usize = 46 << 10;

    /// Returns the size in bytes of the memory that is in use only while a message is in progress. A codec that keeps its
    /// context stays between messages.
    pub(crate) const fn memory_of_message(&self) -> usize {
        if self.direction.context_takeover { 0 } else { Self::CODEC }
    }

    pub(super) fn new(direction: Direction, settings: Deflate) -> Self {
        Self { direction, settings, codec: None, is_begun: false, inflated: 0, ended: false }
    }

    /// Decompresses a piece of a message and passes the result to `take`, block by block, until `quota` is spent. The
    /// last piece ends the message when it is finished. The message size is at most `limit` bytes, and its frames have
    /// announced `announced` compressed bytes so far.
    pub(crate) fn inflate(
        &mut self,
        piece: &[u8],
        last: bool,
        limit: usize,
        announced: u64,
        quota: &mut Quota,
        mut take: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<Inflated, ProtocolError> {
        let bound = self.bound(limit, announced);
        let mut codec = self.codec.take().unwrap_or_else(|| self.make_codec());
        self.is_begun |= !piece.is_empty();
        let inflated = self.run(&mut codec, piece, bound, quota, &mut take)?;
        let last = last && inflated.finished;
        if last {
            // A payload without any byte, which some peers send for an empty message, is complete. So is a payload
            // that ends with a final block.
            if self.is_begun && !self.ended && !ends_at_a_block(&mut codec) {
                return Err(ProtocolError::InvalidCompression);
            }
            (self.is_begun, self.inflated, self.ended) = (false, 0, false);
        }
        if self.direction.context_takeover || !last {
            self.codec = Some(codec);
        } else {
            codec.reset(false);
            self.settings.pool.keep_inflater(codec);
        }
        Ok(inflated)
    }

    /// Returns a codec without context.
    fn make_codec(&self) -> Inflate {
        if self.direction.context_takeover {
            return Inflate::new(false, self.direction.window_bits.clamp(9, 15));
        }
        self.settings.pool.inflater().unwrap_or_else(|| Inflate::new(false, 15))
    }

    /// Returns the smaller of both limits. Both limits bound the output and depend only on frame headers, so the
    /// result does not depend on how the network splits the bytes.
    fn bound(&self, limit: usize, announced: u64) -> Bound {
        // The full size is not known yet.
        let size = (limit as u64).saturating_add(1);
        let message = Bound { size: limit, error: ProtocolError::MessageTooLarge { size, limit } };
        let Some(ratio) = self.settings.max_ratio else { return message };
        let most = announced.saturating_mul(u64::from(ratio)).max(Self::RATIO_CHECKED_FROM);
        match usize::try_from(most) {
            Ok(size) if size < limit => {
                Bound { size, error: ProtocolError::CompressionRatio { limit: ratio } }
            }
            _ => message,
        }
    }

    fn run(
        &mut self,
        codec: &mut Inflate,
        piece: &[u8],
        bound: Bound,
        quota: &mut Quota,
        take: &mut impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<Inflated, ProtocolError> {
        let mut block: Vec<u8> = Vec::new();
        // Without memory, the message fails and the process continues.
        block.try_reserve_exact(BLOCK).map_err(|_| bound.error)?;
        block.resize(BLOCK, 0);
        let mut input = piece;
        while !input.is_empty() || !self.ended {
            if quota.is_spent() {
                return Ok(Inflated { consumed: piece.len().saturating_sub(input.len()), finished: false });
            }
            if self.ended {
                let before = input.len();
                input = skip_empty_final_blocks(input);
                quota.spend(0, before.saturating_sub(input.len()));
            }
            let step = input.get(..STEP).unwrap_or(input);
            let before = (codec.total_in(), codec.total_out());
            let status = codec.decompress(step, &mut block, InflateFlush::SyncFlush);
            let consumed = progress(before.0, codec.total_in());
            let inflated = block.get(..progress(before.1, codec.total_out())).unwrap_or_default();
            input = input.get(consumed..).unwrap_or_default();
            quota.spend(consumed, inflated.len());
            // Pass on the output before an error first, so that the result is the same as for a message that arrives
            // in single bytes.
            let fitting = inflated.get(..bound.size.saturating_sub(self.inflated)).unwrap_or(inflated);
            if !fitting.is_empty() {
                take(fitting)?;
            }
            self.inflated = self.inflated.saturating_add(inflated.len());
            if self.inflated > bound.size {
                return Err(bound.error);
            }
            let status = status.map_err(|_| ProtocolError::InvalidCompression)?;
            self.ended = status == Status::StreamEnd;
            if self.ended {
                // RFC 7692 7.2.3.4: blocks can follow a block that is marked as the final one.
                codec.reset(false);
            } else if input.is_empty() && inflated.len() < block.len() {
                break;
            } else if consumed == 0 && inflated.is_empty() {
                return Err(ProtocolError::InvalidCompression);
            }
        }
        Ok(Inflated { consumed: piece.len(), finished: true })
    }
}

/// Removes the empty final blocks at the front of the input. Each has ten bits and is padded to two bytes. The codec
/// would be reset for each of them, which takes a hundred times as long.
fn skip_empty_final_blocks(mut input: &[u8]) -> &[u8] {
    // One bit for the final block, two for fixed Huffman codes, and seven zeros for the end of the block. The last one
    // is left to the codec, which then is at the end of a block.
    while let [0x03, second, rest @ ..] = input
        && second & 0x03 == 0
        && !rest.is_empty()
    {
        input = rest;
    }
    input
}

/// Appends the tail (RFC 7692 section 7.2.2) and returns `true` if a block ends with it. A truncated message ends
/// within a block or within the header of one, and then the codec interprets the tail as other data.
fn ends_at_a_block(codec: &mut Inflate) -> bool {
    let before = (codec.total_in(), codec.total_out());
    let status = codec.decompress(&TAIL_AND_MORE, &mut [0], InflateFlush::Block);
    status.is_ok() && codec.total_in().saturating_sub(before.0) == TAIL_LEN && codec.total_out() == before.1
}

fn progress(before: u64, after: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("direction", &self.direction).finish_non_exhaustive()
    }
}
