//! Outgoing frames, and the account of the bytes that are written.

use alloc::{borrow::Cow, boxed::Box, vec::Vec};

use bytes::Bytes;

use super::{blocked::Blocked, framing::Framing};
use crate::{
    PreparedMessage, Transmit,
    entropy::Entropy,
    frame::{EncodedHeader, Header, Opcode, extend_masked},
    log::FrameLog,
};

/// Output: the queue, the bytes that a driver has taken, and the number of bytes that are written.
///
/// Positions count the bytes of the whole stream, from the first byte that was ever queued. So a mark, such as the
/// end of a ping, is one number, and it is reached when `written` reaches it.
#[derive(Debug)]
pub(super) struct OutputQueue {
    /// Bytes that are queued and not taken by a driver.
    pub(super) queue: Transmit,
    /// Source of masking keys. A server has none, because it does not mask.
    pub(super) masking: Option<Box<Entropy>>,
    /// Compression and splitting of messages. `None` if each message is one plain frame.
    pub(super) framing: Option<Box<Framing>>,
    pub(super) log: FrameLog,
    /// Number of bytes that a driver has taken and not yet reported as written.
    pub(super) in_flight: usize,
    /// Position up to which all output is written.
    pub(super) written: u64,
    /// Position of the end of the output when the time was last reported.
    pub(super) seen: u64,
    /// State that exists only while output waits.
    pub(super) blocked: Option<Box<Blocked>>,
    /// Upper bound of the unwritten bytes that were queued by `reply`.
    pub(super) reply_bytes: u32,
    /// Opcode of the message that is being sent in chunks, and `true` if it is compressed.
    pub(super) message: Option<(Opcode, bool)>,
    /// `true` if the transport has accepted bytes since the time was last reported.
    pub(super) accepted: bool,
    /// `true` if the network has accepted bytes that it had refused before.
    pub(super) progressed: bool,
}

/// Encoding.
impl OutputQueue {
    /// Minimum size in bytes of an owned payload that is queued by reference.
    pub(super) const SHARED_FROM: usize = 4096;
    /// Minimum size in bytes of a prepared frame that is queued by reference. A reference costs about as much as
    /// copying this number of bytes.
    pub(super) const PREPARED_FROM: usize = 512;

    pub(super) fn new(
        masking: Option<Box<Entropy>>,
        framing: Option<Box<Framing>>,
        head: Vec<u8>,
        log: FrameLog,
    ) -> Self {
        let mut queue = Transmit::default();
        *queue.block() = head;
        Self {
            queue,
            masking,
            framing,
            log,
            in_flight: 0,
            written: 0,
            seen: 0,
            blocked: None,
            reply_bytes: 0,
            message: None,
            accepted: false,
            progressed: false,
        }
    }

    pub(super) fn push(&mut self, opcode: Opcode, payload: &[u8]) {
        self.log.sent_whole(opcode, payload.len());
        self.push_copied(Header::new(opcode, payload.len() as u64), payload);
    }

    /// Queues a message as a copy. It is a separate function because most applications mostly send many short
    /// messages.
    #[inline(never)]
    pub(super) fn push_short(&mut self, opcode: Opcode, payload: &[u8]) {
        self.log.sent_whole(opcode, payload.len());
        if self.masking.is_some() {
            return self.push_short_masked(opcode, payload);
        }
        let out = self.queue.block();
        Header::new(opcode, payload.len() as u64).encode().append_to(out);
        out.extend_from_slice(payload);
    }

    #[inline(never)]
    fn push_short_masked(&mut self, opcode: Opcode, payload: &[u8]) {
        self.push_masked(Header::new(opcode, payload.len() as u64), payload);
    }

    /// Queues a message, compressed if compression was negotiated and makes it smaller. Returns an upper bound of the
    /// queued bytes.
    #[inline(never)]
    pub(super) fn push_message(&mut self, opcode: Opcode, payload: Cow<'_, [u8]>) -> usize {
        if self.framing.is_some() {
            return self.push_framed(opcode, payload);
        }
        let bound = payload.len().saturating_add(Header::MAX_LEN);
        self.push_frame(Header::new(opcode, payload.len() as u64), payload);
        bound
    }

    /// Queues a frame, with the payload by reference if that is cheaper than a copy.
    #[inline]
    pub(super) fn push_frame(&mut self, header: Header, payload: Cow<'_, [u8]>) {
        self.log.sent(&header);
        match payload {
            Cow::Owned(payload) if payload.len() >= Self::SHARED_FROM && self.masking.is_none() => {
                header.encode().append_to(self.queue.block());
                self.queue.push(Bytes::from(payload));
            }
            payload => self.push_copied(header, &payload),
        }
    }

    /// Queues a frame as a copy, masked on a client.
    #[inline]
    pub(super) fn push_copied(&mut self, header: Header, payload: &[u8]) {
        if self.masking.is_some() {
            return self.push_masked(header, payload);
        }
        let out = self.queue.block();
        header.encode().append_to(out);
        out.extend_from_slice(payload);
    }

    #[inline]
    fn push_masked(&mut self, header: Header, payload: &[u8]) {
        let Some(key) = self.masking.as_mut().map(|entropy| entropy.masking_key()) else { return };
        let out = self.queue.block();
        Header { masking_key: Some(key), ..header }.encode().append_to(out);
        extend_masked(out, payload, key);
    }

    /// Queues a message that was encoded before. Returns an upper bound of the queued bytes.
    #[inline]
    pub(super) fn push_prepared(&mut self, prepared: &PreparedMessage) -> usize {
        if self.framing.is_some() {
            return self.push_prepared_framed(prepared);
        }
        if self.masking.is_some() {
            return self.push_message(prepared.opcode(), Cow::Borrowed(prepared.payload()));
        }
        self.push_encoded(prepared.frame());
        prepared.frame().len()
    }

    /// Queues an encoded frame, by reference if that is cheaper than a copy.
    #[inline]
    pub(super) fn push_encoded(&mut self, frame: &Bytes) {
        self.log.sent_encoded(frame);
        if frame.len() >= Self::PREPARED_FROM {
            self.queue.push(frame.clone());
        } else {
            self.queue.extend_from_slice(frame);
        }
    }

    /// Returns the header of a message that can be written unchanged, neither masked nor compressed.
    #[inline]
    pub(super) fn plain_header(&self, opcode: Opcode, len: usize) -> Option<EncodedHeader> {
        let is_plain = self.masking.is_none() && self.framing.is_none();
        is_plain.then(|| Header::new(opcode, len as u64).encode())
    }

    /// Frees memory that is not in use.
    pub(super) fn release(&mut self) {
        self.queue.shrink_to_fit();
        self.drop_unused();
        if let Some(compressor) = self.compressor() {
            compressor.release();
        }
    }
}
