use std::{borrow::Cow, io};

use bytes::{Buf, Bytes};
use ws_core::{
    Cause, CloseCode, Closure, Connection, Message, PreparedMessage, SendError, State, Timeout, Transmit,
};

use crate::{
    Appetite, Error, Payload, Post, Posted, Spare,
    outbox::{Full, Outbox},
    tls::{Session, TlsError},
};

/// A connection, what waits for its peer to read, and, with `wss://`, the TLS session between it and the
/// network.
#[derive(Debug)]
pub struct Wire {
    /// The WebSocket.
    pub connection: Connection,
    /// For messages that are received.
    pub spare: Spare,
    /// How they are best read.
    pub appetite: Appetite,
    tls: Option<Box<Session>>,
    /// What was posted and does not fit into the connection's write buffer.
    outbox: Option<Box<Outbox>>,
    /// What has left the connection to make room in it, and goes out first.
    spilled: Option<Box<Transmit>>,
    /// Whether `close_notify` follows what the connection still has to say.
    ending: bool,
}

impl Wire {
    /// A connection over a session, or over none.
    #[must_use]
    pub fn new(connection: Connection, tls: Option<Box<Session>>) -> Self {
        Self {
            connection,
            spare: Spare::default(),
            appetite: Appetite::default(),
            tls,
            outbox: None,
            spilled: None,
            ending: false,
        }
    }

    /// Whether what is read has to be decrypted.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Turns received bytes into what [`Connection::receive`] takes.
    ///
    /// # Errors
    ///
    /// The peer failed TLS; the connection has ended.
    pub fn decrypt(&mut self, received: &[u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        tls.decrypt(received, plain).map_err(|error| {
            self.connection.receive_eof();
            error.into()
        })
    }

    /// Tells that the peer's stream has ended.
    ///
    /// # Errors
    ///
    /// The end may have been faked: there was neither a Close nor a `close_notify`.
    pub fn receive_eof(&mut self) -> Result<(), TlsError> {
        self.connection.receive_eof();
        match (&self.tls, self.connection.closure()) {
            (Some(tls), Some(Closure { cause: Cause::Eof, .. })) => tls.end(),
            _ => Ok(()),
        }
    }

    /// Queues something to be sent.
    ///
    /// # Errors
    ///
    /// What `send` says; with how the connection ended, if that is why.
    pub fn queue<T>(
        &mut self,
        send: impl FnOnce(&mut Connection) -> Result<T, SendError>,
    ) -> Result<T, Error> {
        send(&mut self.connection).map_err(|error| self.refused(error))
    }

    /// Queues a message. The memory of a small one, which is copied, serves the next that is received.
    ///
    /// # Errors
    ///
    /// As [`queue`](Self::queue).
    #[inline]
    pub fn send(&mut self, message: Message<'_>) -> Result<(), Error> {
        let connection = &mut self.connection;
        let sent = match message {
            Message::Binary(Cow::Owned(bytes)) if bytes.capacity() <= Spare::MOST => {
                let sent = connection.send(&*bytes);
                self.spare.keep(bytes);
                sent
            }
            Message::Text(Cow::Owned(text)) if text.capacity() <= Spare::MOST => {
                let sent = connection.send(&*text);
                self.spare.keep(text.into_bytes());
                sent
            }
            message => connection.send(message),
        };
        match sent {
            Ok(()) => Ok(()),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// What it means that nothing was queued.
    #[cold]
    fn refused(&self, error: SendError) -> Error {
        match (error, self.connection.closure()) {
            (SendError::Closed, Some(closure)) => Error::Closed(closure),
            (error, _) => Error::Send(error),
        }
    }

    /// Queues something to be sent, without waiting for room: what finds none in the connection's write
    /// buffer waits in an outbox that is bounded by [`Post::backlog`]. `blocked` tells that the network
    /// takes nothing at the moment.
    ///
    /// # Errors
    ///
    /// As [`queue`](Self::queue); [`SendError::BufferFull`] only if the post asks for it.
    pub fn post(&mut self, post: Post<'_>, blocked: bool) -> Result<Posted, Error> {
        let may_wait =
            self.connection.state() == State::Open && self.connection.config().write_buffer_size > 0;
        if !may_wait || !(blocked || self.is_backed_up()) {
            let sent = self.queue(|connection| match post.payload {
                Payload::Message(message) => connection.send(message),
                Payload::Prepared(message) => connection.send_prepared(message),
            });
            return sent.map(|()| Posted::default());
        }
        let outbox = self.outbox.get_or_insert_default();
        if post.answer {
            outbox.push_answer(post.payload.prepare());
            return Ok(Posted::default());
        }
        match outbox.push(post.payload.prepare(), (post.backlog)(), post.refuse) {
            Ok(posted) if posted.disconnected => {
                self.outbox = None;
                // It cannot fail: the connection is open, and this code and reason can be sent.
                let _ = self.connection.close(CloseCode::TRY_AGAIN_LATER, "reads too slowly");
                Ok(posted)
            }
            Ok(posted) => Ok(posted),
            Err(Full) => Err(Error::Send(SendError::BufferFull)),
        }
    }

    /// The bytes of a message to many, if they can be written at once as they are.
    /// [`posted_partly`](Self::posted_partly) tells that only some of them were.
    pub fn ready_frame<'m>(&mut self, message: &'m PreparedMessage) -> Option<Cow<'m, Bytes>> {
        let waits = self.tls.is_some() || self.ending || self.outbox.is_some() || self.spilled.is_some();
        if waits { None } else { self.connection.prepared_frame(message) }
    }

    /// Queues what is left of a message of which so many bytes were written.
    pub fn posted_partly(&mut self, message: &PreparedMessage, written: usize) {
        // It cannot fail: there was room for all of it.
        if self.connection.send_prepared(message).is_ok() {
            self.connection.transmit().advance(written);
        }
    }

    /// Whether what is posted now has to wait, unless room is made by writing.
    #[must_use]
    pub fn is_backed_up(&self) -> bool {
        let connection = &self.connection;
        self.outbox.is_some() || connection.buffered() >= connection.config().write_buffer_size.max(1)
    }

    /// Whether answers wait for room, so that nothing should be received that may ask for more of them.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| outbox.has_answers())
    }

    /// How many bytes wait to be written here; those that were taken to be written are not among them.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let spilled = self.spilled.as_ref().map_or(0, |spilled| spilled.remaining());
        self.outbox.as_ref().map_or(0, |outbox| outbox.bytes()) + spilled + self.connection.buffered()
    }

    /// Begins the closing handshake, after all that was posted.
    ///
    /// # Errors
    ///
    /// As [`Connection::close`].
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        while self.outbox.is_some() {
            // Its length is bounded, and the time that the peer has to read it begins now.
            self.connection.take_transmit(self.spilled.get_or_insert_default());
            self.move_outbox();
        }
        self.connection.close(code, reason)
    }

    /// Moves posted messages into the connection as far as they fit.
    fn move_outbox(&mut self) {
        let Some(outbox) = &mut self.outbox else { return };
        while let Some(message) = outbox.front() {
            match self.connection.send_prepared(message) {
                Ok(()) => outbox.pop(),
                Err(SendError::BufferFull) => return,
                // Nothing more can be sent; or, if a message is being sent in chunks, nothing else.
                Err(_) => break,
            }
        }
        self.outbox = None;
    }

    /// What the end of the connection means to the one who waits for a message: nothing, if it ended as it
    /// should.
    ///
    /// # Errors
    ///
    /// It ended in another way.
    pub fn ended(&self) -> Result<(), Error> {
        let Some(closure) = self.connection.closure() else { return Ok(()) };
        match closure.cause {
            Cause::Protocol(error) => Err(Error::Protocol(error)),
            Cause::Eof | Cause::Timeout(Timeout::Keepalive | Timeout::Stall) => {
                Err(Error::Disconnected(closure))
            }
            _ => Ok(()),
        }
    }

    /// What an error of the network means: after a Close no more than the end of the stream.
    ///
    /// # Errors
    ///
    /// The same error, if there was no Close.
    pub fn failed(&mut self, error: io::Error) -> Result<(), Error> {
        self.connection.receive_eof();
        match self.connection.closure() {
            Some(Closure { cause: Cause::Close, .. }) => Ok(()),
            _ => Err(error.into()),
        }
    }

    /// Whether [`take_output`](Self::take_output) has anything to give.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
            || self.outbox.is_some()
            || self.spilled.is_some()
            || self.tls.as_ref().is_some_and(|tls| self.ending || tls.wants_write())
    }

    /// Moves what is to be written to the end of `output`.
    pub fn take_output(&mut self, output: &mut Transmit) {
        let mut spilled = self.spilled.take();
        self.move_outbox();
        match &mut self.tls {
            None => {
                if let Some(spilled) = &mut spilled {
                    spilled.drain_into(output);
                }
                self.connection.take_transmit(output);
            }
            Some(tls) => {
                let sealed = output.block();
                if let Some(spilled) = &mut spilled {
                    tls.encrypt(&mut **spilled, sealed);
                }
                tls.encrypt(&mut self.connection.transmit(), sealed);
                // A session that has failed takes nothing more. Output that can never leave must not stay: it would
                // keep `wants_write` true for ever.
                let mut rest = self.connection.transmit();
                let unsealed = rest.remaining();
                rest.advance(unsealed);
                drop(rest);
                if std::mem::take(&mut self.ending) {
                    tls.close();
                }
                tls.take_output(sealed);
            }
        }
    }

    /// Drops all that is to be written, for a network that takes nothing any more.
    pub fn drop_output(&mut self) {
        (self.outbox, self.spilled) = (None, None);
        self.take_output(&mut Transmit::default());
    }

    /// Says that nothing will be written after what waits now.
    pub const fn end_output(&mut self) {
        self.ending = true;
    }
}
