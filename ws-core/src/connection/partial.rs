//! Frames and messages that are cut by reads: their storage until the rest arrives, and the limits of their memory.

use alloc::{string::String, vec::Vec};

use super::kept::Held;
use crate::{
    ProtocolError, Timestamp, Utf8Decoder,
    frame::{Header, Opcode, apply_mask, rotate_key},
};

/// State that the next bytes continue. While it exists, the fast path for whole messages is not taken.
#[derive(Debug, Default)]
pub(super) struct Partial {
    /// Input that arrived while receiving was paused or deferred.
    pub(super) held: Held,
    /// The message in progress.
    pub(super) message: Option<OpenMessage>,
    /// The frame in progress.
    pub(super) frame: Option<OpenFrame>,
    /// The payload so far of the control frame that has not ended yet.
    pub(super) control: Vec<u8>,
    /// The header that has not ended yet.
    pub(super) header: [u8; Header::MAX_LEN],
    pub(super) header_len: u8,
    /// Latest reported time at which the frame or message in progress had grown, or this end did not read.
    pub(super) received_at: Option<Timestamp>,
    /// `true` if the frame or message in progress has grown since the time was last reported.
    pub(super) has_grown: bool,
}

impl Partial {
    /// Returns `true` if a frame or message has begun and not ended.
    pub(super) const fn has_begun(&self) -> bool {
        self.message.is_some() || self.frame.is_some() || self.header_len > 0
    }

    /// Returns the size in bytes of the memory for input that was not returned yet.
    pub(super) fn memory(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| match &message.payload {
            Payload::Text { text, .. } => text.capacity(),
            Payload::Binary(bytes) => bytes.capacity(),
        });
        message.saturating_add(self.held.capacity())
    }
}

#[derive(Debug)]
pub(super) struct OpenFrame {
    pub(super) remaining: u64,
    /// Masking key, rotated to fit the next byte. Zero if the frame is not masked.
    pub(super) key: [u8; 4],
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
}

impl OpenFrame {
    /// Unmasks the next piece of the payload.
    pub(super) fn unmask(&mut self, piece: &mut [u8]) {
        self.mask(piece);
        self.advance(piece.len());
    }

    /// Applies the mask to a piece that begins at the next byte. Twice it changes nothing.
    pub(super) fn mask(&self, piece: &mut [u8]) {
        // The key is zero if the frame is not masked.
        if self.key != [0; 4] {
            apply_mask(piece, self.key);
        }
    }

    /// Moves on by `len` bytes of the payload.
    pub(super) fn advance(&mut self, len: usize) {
        self.remaining = self.remaining.saturating_sub(len as u64);
        self.key = rotate_key(self.key, len);
    }
}

#[derive(Debug)]
pub(super) struct OpenMessage {
    pub(super) payload: Payload,
    pub(super) compressed: bool,
    /// `true` if inflating has stopped because a call of `receive` has done its share of work. The next call continues
    /// without new input.
    pub(super) deferred: bool,
    /// Total size in bytes that the frames so far have announced.
    pub(super) size: u64,
    pub(super) fragments: usize,
}

#[derive(Debug)]
pub(super) enum Payload {
    Text { text: String, decoder: Utf8Decoder },
    Binary(Vec<u8>),
}

/// Removes the next `len` bytes of the payload of `frame` from the input and unmasks them.
pub(super) fn take<'a>(frame: &mut OpenFrame, input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let piece = input.split_off_mut(..len).unwrap_or_default();
    frame.unmask(piece);
    piece
}

/// Maximum length of a message in memory, in bytes: no allocation has more than `isize::MAX`, and text needs room for
/// one more character.
pub(super) const MAX_LEN: usize = isize::MAX.unsigned_abs() - 4;

/// Makes room for `piece` more bytes, or for `wanted` bytes if enough memory is available.
pub(super) fn reserve(bytes: &mut Vec<u8>, piece: usize, wanted: usize) -> Result<(), ProtocolError> {
    grow(bytes.len(), bytes.capacity(), piece, wanted, |more| bytes.try_reserve_exact(more).is_ok())
}

/// Works as [`reserve`], for text.
pub(super) fn reserve_text(text: &mut String, piece: usize, wanted: usize) -> Result<(), ProtocolError> {
    grow(text.len(), text.capacity(), piece, wanted, |more| text.try_reserve_exact(more).is_ok())
}

/// If the memory is not sufficient for a message, its connection fails and the process continues.
#[inline]
fn grow(
    len: usize,
    capacity: usize,
    piece: usize,
    wanted: usize,
    mut try_reserve: impl FnMut(usize) -> bool,
) -> Result<(), ProtocolError> {
    if capacity.saturating_sub(len) >= piece {
        return Ok(());
    }
    let wanted = wanted.min(MAX_LEN.saturating_sub(len)).max(piece);
    if try_reserve(wanted) || (piece < wanted && try_reserve(piece)) {
        return Ok(());
    }
    Err(ProtocolError::MessageTooLarge { size: len.saturating_add(piece) as u64, limit: len })
}

/// Returns the number of bytes by which to grow for a piece of the payload of `frame`. It never exceeds the announced
/// size of the last frame.
pub(super) fn growth_in(frame: &OpenFrame, len: usize, piece: usize, proven: usize) -> usize {
    let rest = if frame.fin { usize::try_from(frame.remaining).unwrap_or(usize::MAX) } else { usize::MAX };
    growth(len, proven).min(piece.saturating_add(rest))
}

/// Returns the number of bytes to add to a buffer of `len` bytes. The buffer doubles as bytes arrive, or grows at
/// once to `proven`.
pub(super) fn growth(len: usize, proven: usize) -> usize {
    len.max(16).max(proven.saturating_sub(len))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn no_growth_of_a_message_exceeds_what_can_be_allocated() {
        for len in [0, 1 << 20, MAX_LEN / 2, MAX_LEN / 2 + 1, MAX_LEN - (16 << 10), MAX_LEN - 1] {
            // The message receives as many bytes as fit, and text needs room for one more character.
            let piece = (MAX_LEN - len).min(16 << 10);
            for piece in [piece, piece + 4] {
                for wanted in [0, piece, growth(len, 0), growth(len, usize::MAX), usize::MAX] {
                    let mut asked = vec![];
                    let refused = grow(len, len, piece, wanted, |more| {
                        asked.push(more);
                        false
                    });
                    let size = (len + piece) as u64;
                    assert_eq!(refused, Err(ProtocolError::MessageTooLarge { size, limit: len }));
                    assert!(
                        asked.iter().all(|more| *more >= piece && len + more <= isize::MAX.unsigned_abs())
                    );
                    assert_eq!(
                        asked.last(),
                        Some(&piece),
                        "the least is tried before the message is given up"
                    );
                }
            }
        }
    }

    #[test]
    fn a_message_without_memory_fails_and_keeps_what_it_has() {
        let mut bytes = vec![1, 2, 3];
        let mut text = String::from("abc");
        // A process of 32 bits may have memory for `MAX_LEN`, and no process of 64 bits has.
        let large = if usize::BITS < 64 { usize::MAX } else { MAX_LEN };
        for piece in [large - 3, large, usize::MAX] {
            assert!(reserve(&mut bytes, piece, usize::MAX).is_err());
            assert!(reserve_text(&mut text, piece, usize::MAX).is_err());
        }
        assert_eq!((&bytes[..], &text[..]), (&[1, 2, 3][..], "abc"));
        assert_eq!(reserve(&mut bytes, 100, usize::MAX), Ok(()), "the growth is cut to what there is");
    }
}
