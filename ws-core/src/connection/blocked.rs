//! Accounting of written bytes, and the state that exists only while output waits for the network.

use alloc::boxed::Box;

use super::outgoing::OutputQueue;
use crate::{Chunk, Config, Timestamp, Transmit, frame::Opcode};

/// State that exists only while output waits. An idle connection does not have it.
#[derive(Debug, Default)]
pub(super) struct Blocked {
    /// Payload of the latest ping, if the answer has to wait until earlier pongs are written.
    pong: Option<Pong>,
    /// Position of the end of the latest pong that was queued above the [`PONGS_BELOW`](OutputQueue::PONGS_BELOW) limit.
    pong_end: u64,
    /// Set while the network refuses bytes: time of the last progress, or the time since which bytes have waited.
    refused_since: Option<Timestamp>,
    /// Fingerprint of the chunk that was refused and has to be sent next.
    refused_chunk: Option<u64>,
}

#[derive(Debug)]
struct Pong {
    payload: [u8; 125],
    len: u8,
}

/// Accounting of written bytes.
impl OutputQueue {
    /// Returns the number of bytes that are queued or in flight, and not written yet.
    #[inline]
    pub(super) fn unwritten(&self) -> usize {
        self.queue.len().wrapping_add(self.in_flight)
    }

    /// Returns the position of the end of the output.
    #[inline]
    pub(super) fn end(&self) -> u64 {
        self.written.wrapping_add(self.unwritten() as u64)
    }

    /// Records that the next `count` bytes were written. They have already left the queue.
    #[inline]
    pub(super) fn record_written(&mut self, count: usize) {
        self.written = self.written.wrapping_add(count as u64);
        self.accepted |= count > 0;
        if self.reply_bytes > 0 {
            let unwritten = u32::try_from(self.unwritten()).unwrap_or(u32::MAX);
            self.reply_bytes = self.reply_bytes.min(unwritten);
        }
    }

    /// Records a reply of at most `len` bytes that was just queued.
    #[inline]
    pub(super) fn record_reply(&mut self, len: usize) {
        self.reply_bytes = self.reply_bytes.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// Returns `true` if the unwritten replies have reached the limit. Receiving more could require more replies.
    #[inline]
    pub(super) fn is_paused(&self, config: &Config) -> bool {
        let replies = usize::try_from(self.reply_bytes).unwrap_or(usize::MAX);
        let mark = config.write_buffer_size.max(1);
        replies >= mark && self.unwritten() >= mark
    }

    /// Drops all unwritten output.
    pub(super) fn discard(&mut self) {
        self.queue = Transmit::default();
        self.in_flight = 0;
        self.reply_bytes = 0;
        self.blocked = None;
        self.message = None;
    }

    /// Returns `true` if the network has refused nothing.
    #[inline]
    pub(super) const fn is_quiet(&self) -> bool {
        self.written >= self.seen && self.blocked.is_none()
    }

    /// Records that the time was checked while the network had refused no output.
    #[inline]
    pub(super) fn note_look(&mut self) {
        self.seen = self.end();
        self.accepted = false;
        self.progressed = false;
    }

    /// Compares the output with its state at the last check, which was at `before`. A driver writes before it waits.
    /// So the network has refused bytes that waited at the last check and still wait now. Progress after a refusal is
    /// a sign of life. Bytes that go straight into the operating system's buffer are not.
    #[inline]
    pub(super) fn look(&mut self, before: Timestamp, now: Timestamp) {
        let refused = self.written < self.seen;
        self.seen = self.end();
        if refused || self.blocked.is_some() {
            self.look_at_refusal(refused, before, now);
        }
    }

    #[cold]
    #[inline(never)]
    fn look_at_refusal(&mut self, refused: bool, before: Timestamp, now: Timestamp) {
        let since = if self.accepted { now } else { before };
        if refused {
            let refused_since = &mut self.blocked.get_or_insert_default().refused_since;
            if self.accepted || refused_since.is_none() {
                self.progressed |= refused_since.replace(since).is_some();
            }
        } else if let Some(blocked) = &mut self.blocked {
            self.progressed |= blocked.refused_since.take().is_some();
            self.drop_unused();
        }
    }

    /// Frees the state that is needed only while output waits, if no part of it is in use.
    pub(super) fn drop_unused(&mut self) {
        let written = self.written;
        self.blocked.take_if(|blocked| {
            let Blocked { pong, pong_end, refused_since, refused_chunk } = &**blocked;
            pong.is_none() && *pong_end <= written && refused_since.is_none() && refused_chunk.is_none()
        });
    }

    /// Returns the time since which the network has refused bytes without any progress.
    pub(super) fn refused_since(&self) -> Option<Timestamp> {
        self.blocked.as_ref()?.refused_since
    }
}

/// Replies to pings.
impl OutputQueue {
    /// Number of unwritten bytes below which each ping is answered.
    const PONGS_BELOW: usize = 4096;

    /// Answers a ping. The pong is queued at once, unless much output is unwritten and a pong is part of it. In that
    /// case the answer waits until that pong is written, and replaces an earlier answer that still waits: RFC 6455
    /// 5.5.3 lets an endpoint "elect to send a Pong frame for only the most recently processed Ping frame".
    pub(super) fn answer(&mut self, ping: &[u8]) {
        if self.has_room_for_pong() {
            if let Some(blocked) = &mut self.blocked {
                blocked.pong = None;
            }
            self.push_pong(ping);
        } else if let Ok(len) = u8::try_from(ping.len()) {
            let blocked = self.blocked.get_or_insert_default();
            let pong = blocked.pong.get_or_insert(Pong { payload: [0; 125], len });
            if let Some(space) = pong.payload.get_mut(..ping.len()) {
                space.copy_from_slice(ping);
                pong.len = len;
            }
        }
    }

    /// Returns `true` if a pong may be queued. Any number may be queued while little output is unwritten, otherwise
    /// one. So a peer that sends pings and does not read costs no memory.
    #[inline]
    fn has_room_for_pong(&self) -> bool {
        self.unwritten() < Self::PONGS_BELOW
            || self.blocked.as_ref().is_none_or(|blocked| blocked.pong_end <= self.written)
    }

    /// Queues the waiting pong, if there is room now.
    #[inline]
    pub(super) fn flush_pong(&mut self) {
        if self.blocked.is_some() && self.has_room_for_pong() {
            self.push_waiting_pong();
        }
    }

    /// Queues the waiting pong regardless of the limit: before a Close, or because no output will follow.
    pub(super) fn push_waiting_pong(&mut self) {
        if let Some(Pong { payload, len }) = self.blocked.as_mut().and_then(|blocked| blocked.pong.take()) {
            self.push_pong(payload.get(..usize::from(len)).unwrap_or_default());
        }
    }

    fn push_pong(&mut self, payload: &[u8]) {
        self.push(Opcode::Pong, payload);
        if self.unwritten() >= Self::PONGS_BELOW {
            let end = self.end();
            self.blocked.get_or_insert_default().pong_end = end;
        }
    }

    /// Returns `true` if bytes are waiting to be taken or written.
    #[inline]
    pub(super) fn wants_write(&self) -> bool {
        !self.queue.is_empty() || self.blocked.as_ref().is_some_and(|blocked| self.can_pong(blocked))
    }

    fn can_pong(&self, blocked: &Blocked) -> bool {
        blocked.pong.is_some() && self.has_room_for_pong()
    }
}

/// Refused chunks.
impl OutputQueue {
    /// Remembers a chunk that was refused.
    #[cold]
    pub(super) fn refuse_chunk(&mut self, chunk: &Chunk<'_>) {
        self.blocked.get_or_insert_with(Box::default).refused_chunk = Some(fingerprint(chunk));
    }

    /// Returns `true` if `chunk` would leave a hole in the message, because the chunk before it was refused. If
    /// `chunk` is the refused one, the record of the refusal is cleared.
    #[inline]
    pub(super) fn skips_chunk(&self, chunk: &Chunk<'_>) -> bool {
        let refused = self.blocked.as_ref().and_then(|blocked| blocked.refused_chunk);
        refused.is_some_and(|refused| refused != fingerprint(chunk))
    }

    #[inline]
    pub(super) fn forget_refused_chunk(&mut self) {
        if let Some(blocked) = &mut self.blocked {
            blocked.refused_chunk = None;
        }
    }
}

/// Returns a fingerprint of a chunk (FNV-1a). It finds mistakes of the application and is not a defence against
/// attacks.
fn fingerprint(chunk: &Chunk<'_>) -> u64 {
    let kind = [u8::from(chunk.last), u8::from(chunk.payload.is_text())];
    let bytes = kind.iter().chain(chunk.payload.as_bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}
