//! A connection during its opening handshake.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Buf;
use ws_core::{Config, Connection, TimeoutKind, Timestamp, Transmit};
use ws_transport::{Clock, Driver, Error, response_timeout, tls::TlsSession};

use crate::{duplex::Duplex, read_buffer::ReadBuffer, socket::Socket};

pub(crate) struct Opening {
    socket: Arc<Socket>,
    clock: Clock,
    tls: Option<Box<TlsSession>>,
    buffer: ReadBuffer,
    /// Maximum pause of a write while the peer does not read.
    write_timeout: Option<Duration>,
}

impl Opening {
    pub(crate) fn new(
        socket: Arc<Socket>,
        clock: Clock,
        tls: Option<TlsSession>,
        write_timeout: Option<Duration>,
    ) -> Self {
        Self { socket, clock, tls: tls.map(Box::new), buffer: ReadBuffer::default(), write_timeout }
    }

    pub(crate) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// Passes the unread input to `take`. Bytes that `take` does not consume are kept for the connection.
    pub(crate) fn consume<'b, T>(&'b mut self, take: impl FnOnce(&mut &'b mut [u8]) -> T) -> T {
        self.buffer.consume(take)
    }

    /// Begins TLS. Bytes that were received before belong to it.
    pub(crate) fn start_tls(&mut self, mut tls: TlsSession, due: Option<Timestamp>) -> Result<(), Error> {
        let mut decrypted = Ok(());
        self.buffer.decrypt_unread(|sealed, plain| decrypted = tls.decrypt(sealed, plain));
        self.tls = Some(Box::new(tls));
        // After an error, the output is the TLS alert for the peer.
        let written = self.write_all(&mut &[][..], due);
        decrypted?;
        written
    }

    /// Reads once, and waits until `due` at most. `Ok(None)` means that no bytes arrived in time. `Ok(Some(0))` means
    /// that the stream has ended. If TLS has output of its own, this also writes it.
    pub(crate) fn read(&mut self, due: Option<Timestamp>) -> Result<Option<usize>, Error> {
        let timeout = due.map(|due| self.clock.until(due));
        let Some(tls) = &mut self.tls else {
            return Ok(self.buffer.fill(&self.socket, ReadBuffer::MAX_LEN, timeout)?);
        };
        let mut failed = None;
        let read = self.buffer.fill_sealed(&self.socket, timeout, |sealed, plain| {
            failed = tls.decrypt(sealed, plain).err();
        });
        // After an error, the output is the TLS alert for the peer. During the TLS handshake, the queued request
        // follows it.
        let mut output = Transmit::default();
        tls.take_output(&mut output);
        let (pause, deadline) = self.write_limits(due);
        let written = self.socket.write_all(&mut output, pause, deadline);
        if let Some(error) = failed {
            return Err(error.into());
        }
        match (read?, written) {
            // The peer may have answered before it closed. If the connection is broken, the next read returns the
            // error.
            (Some(read), Ok(true) | Err(_)) => Ok(Some(read)),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(true)) => Ok(None),
            (_, Ok(false)) if due.is_some() => Ok(None),
            (_, Ok(false)) => Err(Error::Timeout(TimeoutKind::Write)),
        }
    }

    /// Writes all bytes, and waits until `due` at most.
    pub(crate) fn write_all(&mut self, bytes: &mut impl Buf, due: Option<Timestamp>) -> Result<(), Error> {
        let (pause, deadline) = self.write_limits(due);
        self.write_until(bytes, pause, deadline)
    }

    /// Returns the maximum pause and the deadline of a write. With a handshake deadline, there is no write timeout. So
    /// a peer that does not read causes the same error as a peer that does not send.
    fn write_limits(&self, due: Option<Timestamp>) -> (Option<Duration>, Option<Instant>) {
        let deadline = due.and_then(|due| self.clock.instant(due));
        (if due.is_some() { None } else { self.write_timeout }, deadline)
    }

    fn write_until(
        &mut self,
        bytes: &mut impl Buf,
        pause: Option<Duration>,
        deadline: Option<Instant>,
    ) -> Result<(), Error> {
        /// Number of bytes that are encrypted at once, so that a large page is not copied in full for each client.
        const PIECE: usize = 64 << 10;
        let Some(tls) = &mut self.tls else {
            let written = self.socket.write_all(bytes, pause, deadline)?;
            return if written { Ok(()) } else { Err(Error::Timeout(TimeoutKind::Write)) };
        };
        let mut output = Transmit::default();
        loop {
            let before = bytes.remaining();
            // During the TLS handshake, the session keeps the bytes and sends them with the last flight.
            tls.encrypt_all(&mut (&mut *bytes).take(PIECE), &mut output);
            tls.take_output(&mut output);
            if !self.socket.write_all(&mut output, pause, deadline)? {
                return Err(Error::Timeout(TimeoutKind::Write));
            }
            if !bytes.has_remaining() || bytes.remaining() == before {
                return Ok(());
            }
        }
    }

    /// Writes a response that opens no connection, shuts down the writing direction, and waits until the peer closes
    /// its side. The total time is at most [`response_timeout`], and the last wait is at most the close timeout. It ends
    /// earlier if the peer reads nothing for the write timeout.
    pub(crate) fn respond(mut self, mut response: impl Buf, config: &Config) {
        let close_timeout = config.close_timeout;
        self.write_timeout = config.write_timeout;
        let deadline = Instant::now().checked_add(response_timeout(response.remaining(), close_timeout));
        if self.write_until(&mut response, self.write_timeout, deadline).is_err() {
            return;
        }
        if let Some(tls) = &mut self.tls {
            tls.close();
        }
        // If this fails, the next read returns.
        let _ = self.write_until(&mut &[][..], self.write_timeout, deadline);
        self.socket.shutdown(std::net::Shutdown::Write);
        let closed_by = Instant::now().checked_add(close_timeout);
        self.buffer.drain(&self.socket, closed_by.into_iter().chain(deadline).min());
    }

    pub(crate) fn into_duplex(self, connection: Connection) -> Arc<Duplex> {
        Arc::new(Duplex::new(self.socket, self.clock, self.buffer, Driver::new(connection, self.tls)))
    }
}
