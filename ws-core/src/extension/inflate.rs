//! Decompression of messages (RFC 7692 section 7.2.2).

use alloc::{vec, vec::Vec};
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
    const RATIO_FREE: u64 = 64 << 10;

    pub(super) fn new(direction: Direction, settings: Deflate) -> Self {
        Self { direction, settings, codec: None, is_begun: false, inflated: 0, ended: false }
    }

    /// Decompresses a piece of a message and passes the result to `take`, block by block. The last piece ends the
    /// message. The message size is at most `limit` bytes, and its frames have announced `announced` compressed bytes
    /// so far.
    pub(crate) fn inflate(
        &mut self,
        piece: &[u8],
        last: bool,
        limit: usize,
        announced: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        let bound = self.bound(limit, announced);
        let mut codec = self.codec.take().unwrap_or_else(|| self.make_codec());
        self.is_begun |= !piece.is_empty();
        self.run(&mut codec, piece, bound, &mut take)?;
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
        Ok(())
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
        let most = announced.saturating_mul(u64::from(ratio)).max(Self::RATIO_FREE);
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
        mut input: &[u8],
        bound: Bound,
        take: &mut impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        let mut block: Vec<u8> = vec![0; BLOCK];
        while !input.is_empty() || !self.ended {
            let before = (codec.total_in(), codec.total_out());
            let status = codec.decompress(input, &mut block, InflateFlush::SyncFlush);
            let consumed = progress(before.0, codec.total_in());
            let inflated = block.get(..progress(before.1, codec.total_out())).unwrap_or_default();
            input = input.get(consumed..).unwrap_or_default();
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
        Ok(())
    }
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
