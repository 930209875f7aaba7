//! Queueing, and the account of the output that an adapter holds.

use std::borrow::Cow;

use bytes::{Buf as _, Bytes};
use ws_core::{
    Chunk, CloseCode, CloseFrame, Connection, Message, PreparedMessage, SendError, State, Transmit,
};

use super::{Driver, Shutdown};
use crate::{
    Error, Network, Outgoing, OutgoingKind, OutgoingPayload, RecycledBuffer, SendOutcome, outbox::Full,
};

/// Account of one batch of sealed bytes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Number of plaintext bytes in the batch.
    plain: usize,
    /// Number of ciphertext bytes in the batch.
    sealed: usize,
    /// Number of ciphertext bytes that are written.
    written: usize,
    /// Number of plaintext bytes that were reported as written.
    reported: usize,
}

impl Batch {
    /// Maximum size of plaintext that is sealed at once, in bytes. It bounds memory. The next batch is sealed only
    /// after this one is written, so that plaintext counts as written at the right time.
    pub(super) const LIMIT: usize = 256 << 10;

    pub(super) const fn is_written(&self) -> bool {
        self.written >= self.sealed
    }

    /// Returns the number of ciphertext bytes that are not written.
    pub(super) const fn unwritten(&self) -> usize {
        self.sealed.saturating_sub(self.written)
    }

    /// Records that more of the ciphertext was written. Returns the proportional number of plaintext bytes. The last
    /// byte counts only when the whole batch is written.
    fn record(&mut self, count: usize) -> usize {
        self.written = self.sealed.min(self.written + count);
        let reported = if self.is_written() {
            self.plain
        } else {
            usize::try_from(self.plain as u128 * self.written as u128 / self.sealed as u128).unwrap_or(0)
        };
        let more = reported - self.reported;
        self.reported = reported;
        more
    }
}

/// Output.
impl Driver {
    /// Moves output to the end of `output`. All earlier bytes in `output` must have been written. With TLS, this adds
    /// one batch of records. If it adds nothing, nothing can be written.
    pub fn take_output(&mut self, output: &mut Transmit) {
        self.move_outbox();
        let Some(tls) = &mut self.tls else { return self.connection.take_transmit(output) };
        let before = output.remaining();
        let plain = self.connection.take_with(Batch::LIMIT, |piece| tls.encrypt(piece, output));
        tls.take_output(output);
        self.batch = Batch { plain, sealed: output.remaining() - before, ..Batch::default() };
        if plain < Batch::LIMIT && self.connection.wants_write() {
            // A session that has failed accepts no more plaintext. Output that can never leave must not stay, because
            // a driver would try to write it for ever.
            self.connection.discard_output();
        }
    }

    /// Reports that the network has accepted the next `count` bytes of the output.
    pub fn written(&mut self, count: usize) {
        let count = if self.tls.is_some() { self.batch.record(count) } else { count };
        self.connection.written(count);
        self.settle_written();
    }

    /// Reports that the network accepts no more output. The adapter has to drop the output that it has taken.
    pub fn fail_output(&mut self) {
        self.outbox = None;
        self.batch = Batch::default();
        self.shutdown = Shutdown::Failed;
        self.connection.discard_output();
        self.settle_written();
    }

    /// Returns `true` if [`take_output`](Self::take_output) will have bytes once the bytes taken before are written.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
            || (self.outbox.is_some() && self.connection.can_send())
            || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Returns `true` if all output is written, apart from messages that wait for the end of one in chunks.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.batch.is_written() && self.connection.buffered() == 0 && !self.wants_write()
    }

    /// Returns the number of bytes that are queued and not written.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.bytes()) + self.connection.buffered()
    }

    /// Returns the position up to which output has to be written before a flush succeeds.
    ///
    /// # Errors
    ///
    /// Returns [`lost_output`](Self::lost_output) if output was dropped before. A flush must not succeed then, although
    /// nothing is left to write.
    pub fn end_of_output(&self) -> Result<u64, Error> {
        if self.connection.has_lost_output() {
            Err(self.lost_output())
        } else {
            Ok(self.connection.total_queued())
        }
    }

    /// Takes the bytes of a broadcast message, if they can be written at once and unchanged. Report them in the same
    /// way as any other output.
    pub fn take_prepared(&mut self, message: &PreparedMessage) -> Option<Bytes> {
        let waits = self.tls.is_some() || self.outbox.is_some();
        let frame = if waits { None } else { self.connection.take_prepared(message) }?;
        self.account.share(0, frame.len());
        self.traffic.sent(message.len());
        Some(frame)
    }
}

/// Queueing.
impl Driver {
    /// Queues output by `send`.
    ///
    /// # Errors
    ///
    /// Returns the error of `send`, or the end of the connection if it is closed.
    pub fn queue<T>(
        &mut self,
        send: impl FnOnce(&mut Connection) -> Result<T, SendError>,
    ) -> Result<T, Error> {
        send(&mut self.connection).map_err(|error| self.refused(error))
    }

    /// Queues a message. The memory of a small one, which is copied, is reused for the next received message.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`queue`](Self::queue).
    #[inline]
    pub fn send(&mut self, message: Message<'_>) -> Result<(), Error> {
        let len = message.len();
        let connection = &mut self.connection;
        let sent = match message {
            Message::Binary(Cow::Owned(bytes)) if bytes.capacity() <= RecycledBuffer::MAX_LEN => {
                let sent = connection.send(&*bytes);
                self.recycled.keep(bytes);
                sent
            }
            Message::Text(Cow::Owned(text)) if text.capacity() <= RecycledBuffer::MAX_LEN => {
                let sent = connection.send(&*text);
                self.recycled.keep(text.into_bytes());
                sent
            }
            message => connection.send(message),
        };
        match sent {
            Ok(()) => {
                self.traffic.sent(len);
                self.settle_queued(len);
                Ok(())
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Queues a message that was encoded before.
    ///
    /// # Errors
    ///
    /// As [`queue`](Self::queue).
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.account.share(self.connection.buffered(), message.len());
        self.queue(|connection| connection.send_prepared(message))?;
        self.traffic.sent(message.len());
        Ok(())
    }

    /// Queues a piece of a message.
    ///
    /// # Errors
    ///
    /// As [`queue`](Self::queue).
    pub fn send_chunk(&mut self, chunk: Chunk<'_>) -> Result<(), Error> {
        let (len, last) = (chunk.payload.len(), chunk.last);
        self.queue(|connection| connection.send_chunk(chunk))?;
        self.traffic.sent_chunk(len, last);
        self.settle_queued(len);
        Ok(())
    }

    #[cold]
    fn refused(&self, error: SendError) -> Error {
        match (error, self.connection.close_info()) {
            (SendError::Closed, Some(close_info)) => Error::Closed(close_info),
            (error, _) => Error::Send(error),
        }
    }

    /// Queues a message of a session, which never waits for room. If the connection's write buffer is full, or while
    /// the network refuses output, the message is kept in an outbox that is bounded by the session's [`Backlog`]. A
    /// reply is never dropped. It pauses receiving instead, as [`Connection::reply`] does.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`queue`](Self::queue), and [`SendError::BufferFull`] only for
    /// [`OutgoingKind::TrySend`].
    ///
    /// [`Backlog`]: crate::Backlog
    pub fn post(&mut self, outgoing: Outgoing<'_>, network: Network) -> Result<SendOutcome, Error> {
        let len = outgoing.payload.len();
        if let OutgoingPayload::Prepared(_) = outgoing.payload {
            self.account.share(self.connection.buffered(), len);
        }
        let outcome = self.post_uncounted(outgoing, network);
        self.settle_queued(self.connection.buffered().max(len));
        let outcome = outcome?;
        self.traffic.sent(len);
        self.traffic.dropped(outcome);
        self.span.dropped(outcome);
        Ok(outcome)
    }

    fn post_uncounted(&mut self, outgoing: Outgoing<'_>, network: Network) -> Result<SendOutcome, Error> {
        if outgoing.kind == OutgoingKind::Reply {
            // A reply must not overtake earlier messages.
            self.force_outbox();
            return self
                .queue(|connection| outgoing.payload.reply(connection))
                .map(|()| SendOutcome::default());
        }
        let may_wait =
            self.connection.state() == State::Open && self.connection.config().write_buffer_size > 0;
        if !may_wait || (network == Network::Accepts && !self.is_backed_up()) {
            return self
                .queue(|connection| outgoing.payload.send(connection))
                .map(|()| SendOutcome::default());
        }
        let outbox = self.outbox.get_or_insert_default();
        match outbox.push(outgoing.payload.prepare(), (outgoing.backlog)(), outgoing.kind) {
            Ok(outcome) if outcome.disconnected => {
                self.outbox = None;
                // It cannot fail, because the connection is open and this code and reason are valid.
                let _ = self.connection.close(CloseCode::TRY_AGAIN_LATER, "reads too slowly");
                self.record_end(None);
                Ok(outcome)
            }
            Ok(outcome) => Ok(outcome),
            Err(Full) => Err(Error::Send(SendError::BufferFull)),
        }
    }

    /// Returns `true` if a message of a session has to wait now.
    #[must_use]
    pub fn is_backed_up(&self) -> bool {
        let connection = &self.connection;
        self.outbox.is_some() || connection.buffered() >= connection.config().write_buffer_size.max(1)
    }

    /// Begins the closing handshake, behind all messages of the session.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Connection::close`].
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        CloseFrame::new(code, reason)?;
        self.force_outbox();
        self.connection.close(code, reason)
    }

    /// Moves messages that fit from the outbox into the connection.
    fn move_outbox(&mut self) {
        while let Some(outbox) = &mut self.outbox {
            let Some(waiting) = outbox.front() else { break };
            let (buffered, shared) = (self.connection.buffered(), waiting.is_shared);
            match self.connection.send_prepared(&waiting.message) {
                Ok(()) => {
                    if shared {
                        self.account.share(buffered, waiting.message.len());
                    }
                    outbox.pop();
                }
                Err(SendError::Closed) => break,
                Err(_) => return,
            }
        }
        self.outbox = None;
    }

    /// Moves all messages from the outbox into the connection, even if they do not fit. They count as replies, so
    /// that receiving pauses until they are written.
    fn force_outbox(&mut self) {
        while let Some(outbox) = &mut self.outbox {
            let Some(waiting) = outbox.front() else { break };
            let (buffered, shared) = (self.connection.buffered(), waiting.is_shared);
            match self.connection.reply_prepared(&waiting.message) {
                Ok(()) => {
                    if shared {
                        self.account.share(buffered, waiting.message.len());
                    }
                    outbox.pop();
                }
                Err(SendError::MessageInProgress) => return,
                Err(_) => break,
            }
        }
        self.outbox = None;
    }
}
