//! Frames and messages that reads have cut: how they are kept until the rest comes, and how much memory they get.

use alloc::{string::String, vec::Vec};

use super::kept::Held;
use crate::{
    Timestamp, Utf8Decoder,
    frame::{Header, Opcode, apply_mask, rotate_key},
};

/// What the next bytes continue. While it exists, the fast path for whole messages is not taken.
#[derive(Debug, Default)]
pub(super) struct Partial {
    /// Input that was given while receiving was paused.
    pub(super) held: Held,
    /// The message whose last frame has not ended yet.
    pub(super) message: Option<OpenMessage>,
    /// The frame whose payload has not ended yet.
    pub(super) frame: Option<OpenFrame>,
    /// The payload so far of the control frame that has not ended yet.
    pub(super) control: Vec<u8>,
    /// The header that has not ended yet.
    pub(super) header: [u8; Header::MAX_LEN],
    pub(super) header_len: u8,
    /// When the peer was heard last, or was not listened to, as far as was told.
    pub(super) heard_at: Option<Timestamp>,
}

impl Partial {
    /// Returns `true` if a frame or message has begun and not ended.
    pub(super) const fn has_begun(&self) -> bool {
        self.message.is_some() || self.frame.is_some() || self.header_len > 0
    }
}

#[derive(Debug)]
pub(super) struct OpenFrame {
    pub(super) remaining: u64,
    /// Rotated to fit the next byte; zero where the frame is not masked.
    pub(super) key: [u8; 4],
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
}

impl OpenFrame {
    /// Unmasks the next piece of the payload.
    pub(super) fn unmask(&mut self, piece: &mut [u8]) {
        self.remaining = self.remaining.saturating_sub(piece.len() as u64);
        // Zero where the frame is not masked.
        if self.key != [0; 4] {
            apply_mask(piece, self.key);
            self.key = rotate_key(self.key, piece.len());
        }
    }
}

#[derive(Debug)]
pub(super) struct OpenMessage {
    pub(super) payload: Payload,
    pub(super) compressed: bool,
    /// What the frames so far announced, in bytes.
    pub(super) size: u64,
    pub(super) fragments: usize,
}

#[derive(Debug)]
pub(super) enum Payload {
    Text { text: String, decoder: Utf8Decoder },
    Binary(Vec<u8>),
}

/// Cuts the next `len` bytes of `frame`'s payload off the input and unmasks them.
pub(super) fn take<'a>(frame: &mut OpenFrame, input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let piece = input.split_off_mut(..len).unwrap_or_default();
    frame.unmask(piece);
    piece
}

/// Makes room for a piece of `frame`'s payload, and never for more than the last frame announces.
pub(super) fn reserve(bytes: &mut Vec<u8>, piece: usize, frame: &OpenFrame, proven: usize) {
    if bytes.capacity().saturating_sub(bytes.len()) < piece {
        bytes.reserve_exact(growth(bytes.len(), proven).min(to_come(piece, frame)).max(piece));
    }
}

pub(super) fn reserve_text(text: &mut String, piece: usize, frame: &OpenFrame, proven: usize) {
    if text.capacity().saturating_sub(text.len()) < piece {
        text.reserve_exact(growth(text.len(), proven).min(to_come(piece, frame)).max(piece));
    }
}

/// How many bytes may come, from this piece on.
fn to_come(piece: usize, frame: &OpenFrame) -> usize {
    let rest = if frame.fin { usize::try_from(frame.remaining).unwrap_or(usize::MAX) } else { usize::MAX };
    piece.saturating_add(rest)
}

/// How much memory is added to so many bytes: it follows those that came, by doubling, or goes at once to what is
/// proven.
pub(super) fn growth(len: usize, proven: usize) -> usize {
    len.max(16).max(proven.saturating_sub(len))
}
