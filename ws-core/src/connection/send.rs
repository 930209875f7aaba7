//! Methods that send.

use alloc::borrow::Cow;

use super::{Connection, outgoing::OutputQueue};
use crate::{
    Chunk, CloseCode, Message, PreparedMessage, SendError,
    frame::{Header, Opcode},
};

/// Sending.
///
/// These methods only queue. A driver writes the queued bytes. See [`transmit`](Self::transmit).
impl Connection {
    /// Queues a message, as one frame, or as several if it is larger than
    /// [`max_sent_frame_size`](crate::Config::max_sent_frame_size).
    ///
    /// Use [`reply`](Self::reply) to answer a received message.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ws_core::{Config, Connection, Timestamp};
    ///
    /// let mut server = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    /// server.send("Hello")?;
    /// server.send(vec![0xAB; 60_000])?; // a large owned payload is queued without a copy
    /// assert_eq!(server.buffered(), 2 + 5 + 4 + 60_000);
    /// # Ok::<(), ws_core::SendError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// On an error, nothing is queued.
    /// - Returns [`SendError::Closed`] if the connection is closing or closed.
    /// - Returns [`SendError::BufferFull`] if [`buffered`](Self::buffered) has reached
    ///   [`write_buffer_size`](crate::Config::write_buffer_size). Send the message again after output was written.
    /// - Returns [`SendError::MessageInProgress`] between the chunks of another message.
    #[inline]
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.admit_message()?;
        self.queue_message(message.into());
        Ok(())
    }

    /// Queues the answer to a received message, in the form that [`send`](Self::send) uses. A reply is never refused for lack of room, so that each
    /// received message can be answered. Backpressure applies to the input instead: [`receive`](Self::receive) pauses
    /// while the unwritten replies have reached [`write_buffer_size`](crate::Config::write_buffer_size), and the
    /// transport then holds back a peer that sends and does not read. Memory is bounded by that size and one reply.
    ///
    /// Two peers that flood each other and answer all messages can block each other. Bounded memory makes this
    /// unavoidable.
    ///
    /// # Errors
    ///
    /// On an error, nothing is queued.
    /// - Returns [`SendError::Closed`] if the connection is closing or closed.
    /// - Returns [`SendError::MessageInProgress`] between the chunks of another message.
    #[inline]
    pub fn reply<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.admit_reply()?;
        let len = self.queue_message(message.into());
        self.count_reply(len);
        Ok(())
    }

    /// Queues the answer to a received message, from a message that was encoded before.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`reply`](Self::reply).
    #[inline]
    pub fn reply_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        self.admit_reply()?;
        let len = self.outgoing.push_prepared(message);
        self.count_reply(len);
        Ok(())
    }

    /// Queues a piece of a message, as one frame, or as several if it is larger than
    /// [`max_sent_frame_size`](crate::Config::max_sent_frame_size). The first chunk selects text or binary, and the last one ends the
    /// message. Between them only pings, pongs and a Close can be sent. [`abort_message`](Self::abort_message) gives
    /// up the message. A chunk may be empty.
    ///
    /// Peers limit the number of frames in a message that they assemble. In this library the limit is
    /// [`max_fragments`](crate::Config::max_fragments). Default: 1,024. The limit does not apply to a receiver with
    /// [`Delivery::Chunks`](crate::Delivery::Chunks).
    ///
    /// # Errors
    ///
    /// On an error, nothing is queued.
    /// - Returns [`SendError::Closed`] if the connection is closing or closed.
    /// - Returns [`SendError::BufferFull`] as [`send`](Self::send) does. Send the same chunk again after output was
    ///   written.
    /// - Returns [`SendError::ChunkSkipped`] if the chunk before was refused and `chunk` is a different one. Sending
    ///   it would leave a hole in the message.
    /// - Returns [`SendError::WrongKind`] if the message in progress is of the other kind, text or binary.
    pub fn send_chunk(&mut self, chunk: Chunk<'_>) -> Result<(), SendError> {
        if self.closing.is_none() && self.outgoing.skips_chunk(&chunk) {
            return Err(SendError::ChunkSkipped);
        }
        if let Err(error) = self.admit_data() {
            if error == SendError::BufferFull {
                self.outgoing.refuse_chunk(&chunk);
            }
            return Err(error);
        }
        let (kind, payload) = into_parts(chunk.payload);
        let (opcode, compressed) = match self.outgoing.message {
            None => {
                (kind, self.outgoing.compressor().is_some_and(|compressor| compressor.is_worth(usize::MAX)))
            }
            Some((begun, compressed)) if begun == kind => (Opcode::Continuation, compressed),
            Some(_) => return Err(SendError::WrongKind),
        };
        self.outgoing.forget_refused_chunk();
        let payload = match self.outgoing.compressor().filter(|_| compressed) {
            Some(compressor) => Cow::Owned(compressor.compress_chunk(&payload, chunk.last)),
            None => payload,
        };
        let rsv1 = compressed && opcode != Opcode::Continuation;
        let header = Header { fin: chunk.last, rsv1, ..Header::new(opcode, payload.len() as u64) };
        self.outgoing.push_fragments(header, payload);
        self.outgoing.message = (!chunk.last).then_some((kind, compressed));
        Ok(())
    }

    /// Gives up the message that is being sent in chunks. WebSocket cannot withdraw a message (RFC 6455 section 5.4),
    /// so this closes the connection with code 1011, and the peer never treats the partial message as a complete one.
    /// If not even the first chunk was accepted, the connection stays open.
    pub fn abort_message(&mut self) {
        self.outgoing.forget_refused_chunk();
        if self.outgoing.message.take().is_some() {
            // The code and reason are valid. If the connection is already closing, the message ends with it.
            let _ = self.close(CloseCode::INTERNAL_ERROR, "a message was aborted");
        }
    }

    /// Queues a message that was encoded before.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send`](Self::send).
    #[inline]
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        self.admit_message()?;
        self.outgoing.push_prepared(message);
        Ok(())
    }

    /// Enables or disables compression, starting with the next message. Default: enabled. Has no effect without
    /// permessage-deflate. For messages that mix secrets with input from other parties, see
    /// [`Deflate`](crate::Deflate).
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, enabled: bool) {
        if let Some(compressor) = self.outgoing.compressor() {
            compressor.enable(enabled);
        }
    }

    /// Queues a ping with at most 125 bytes of payload. The peer's pong is returned as
    /// [`Event::Pong`](crate::Event::Pong).
    ///
    /// # Errors
    ///
    /// - Returns [`SendError::Closed`] or [`SendError::BufferFull`] as [`send`](Self::send) does.
    /// - Returns [`SendError::ControlPayloadTooLong`] if `payload` has more than 125 bytes.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send_control(Opcode::Ping, payload)
    }

    /// Queues an unsolicited pong (RFC 6455 section 5.5.3) with at most 125 bytes of payload. The connection answers
    /// pings without this method.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send_control(Opcode::Pong, payload)
    }

    fn send_control(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > 125 {
            return Err(SendError::ControlPayloadTooLong(payload.len()));
        }
        self.admit_data()?;
        self.outgoing.push(opcode, payload);
        Ok(())
    }

    /// Returns an upper bound of the queued bytes.
    #[inline(always)]
    fn queue_message(&mut self, message: Message<'_>) -> usize {
        let len = message.len();
        if self.outgoing.framing.is_none() && len < OutputQueue::SHARED_FROM {
            self.outgoing.push_short(opcode_of(&message), message.as_bytes());
            len.saturating_add(Header::MAX_LEN)
        } else {
            let (opcode, payload) = into_parts(message);
            self.outgoing.push_message(opcode, payload)
        }
    }

    /// Counts a reply of at most `len` bytes, and pauses receiving if the replies have reached the limit.
    #[inline]
    fn count_reply(&mut self, len: usize) {
        self.outgoing.record_reply(len);
        if self.outgoing.is_paused(&self.config) {
            self.incoming.leave_fast_path();
        }
    }

    #[inline]
    pub(super) fn admit_message(&self) -> Result<(), SendError> {
        self.admit_data()?;
        if self.outgoing.message.is_some() {
            return Err(SendError::MessageInProgress);
        }
        Ok(())
    }

    #[inline]
    fn admit_reply(&self) -> Result<(), SendError> {
        if self.closing.is_some() {
            return Err(SendError::Closed);
        }
        if self.outgoing.message.is_some() {
            return Err(SendError::MessageInProgress);
        }
        Ok(())
    }

    #[inline]
    fn admit_data(&self) -> Result<(), SendError> {
        if self.closing.is_some() {
            return Err(SendError::Closed);
        }
        if self.outgoing.unwritten() >= self.config.write_buffer_size {
            return Err(SendError::BufferFull);
        }
        Ok(())
    }
}

#[inline]
pub(super) const fn opcode_of(message: &Message<'_>) -> Opcode {
    if message.is_text() { Opcode::Text } else { Opcode::Binary }
}

#[inline]
fn into_parts(message: Message<'_>) -> (Opcode, Cow<'_, [u8]>) {
    match message {
        Message::Text(Cow::Borrowed(text)) => (Opcode::Text, Cow::Borrowed(text.as_bytes())),
        Message::Text(Cow::Owned(text)) => (Opcode::Text, Cow::Owned(text.into_bytes())),
        Message::Binary(bytes) => (Opcode::Binary, bytes),
    }
}
