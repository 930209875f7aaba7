use std::io;

use ws_core::{Cause, Closure, Connection, SendError, Timeout, Transmit};

use crate::{
    Error,
    tls::{Session, TlsError},
};

/// A connection and, with `wss://`, the TLS session between it and the network.
#[derive(Debug)]
pub struct Wire {
    /// The WebSocket.
    pub connection: Connection,
    tls: Option<Box<Session>>,
    /// Whether `close_notify` follows what the connection still has to say.
    ending: bool,
}

impl Wire {
    /// A connection over a session, or over none.
    #[must_use]
    pub fn new(connection: Connection, tls: Option<Box<Session>>) -> Self {
        Self { connection, tls, ending: false }
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
        send(&mut self.connection).map_err(|error| match (error, self.connection.closure()) {
            (SendError::Closed, Some(closure)) => Error::Closed(closure),
            (error, _) => Error::Send(error),
        })
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
        self.connection.wants_write() || self.tls.as_ref().is_some_and(|tls| self.ending || tls.wants_write())
    }

    /// Moves what is to be written to the end of `output`.
    pub fn take_output(&mut self, output: &mut Transmit) {
        match &mut self.tls {
            None => self.connection.take_transmit(output),
            Some(tls) => {
                let sealed = output.block();
                tls.encrypt(&mut self.connection.transmit(), sealed);
                if std::mem::take(&mut self.ending) {
                    tls.close();
                }
                tls.take_output(sealed);
            }
        }
    }

    /// Says that nothing will be written after what waits now.
    pub const fn end_output(&mut self) {
        self.ending = true;
    }
}
