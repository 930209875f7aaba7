//! A connection during its opening handshake.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use bytes::Buf;
use ws_core::{
    Config, Connection, HandshakeConfig, HandshakeError, TimeoutKind, Timestamp, Transmit,
    server::{Handshake, Request},
};
use ws_transport::{
    Clock, Driver, Error, Evict, Holder, Proxied, ProxyPreamble, ServerMemory, response_timeout,
    tls::TlsSession,
};

use crate::{duplex::Duplex, read_buffer::ReadBuffer, socket::Socket};

pub(crate) struct Opening {
    socket: Arc<Socket>,
    clock: Clock,
    tls: Option<Box<TlsSession>>,
    /// The client's address, if a trusted proxy has reported it by the PROXY protocol.
    client: Option<SocketAddr>,
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
        let (tls, buffer) = (tls.map(Box::new), ReadBuffer::default());
        Self { socket, clock, tls, client: None, buffer, write_timeout }
    }

    pub(crate) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// Sets the properties of this connection in a request.
    pub(crate) fn describe(&self, request: &mut Request) {
        self.socket.addresses().describe(self.tls.as_deref(), request);
        if self.client.is_some() {
            request.set_peer_addr(self.client);
        }
    }

    /// Passes the unread input to `take`. Bytes that `take` does not consume are kept for the connection.
    pub(crate) fn consume<'b, T>(&'b mut self, take: impl FnOnce(&mut &'b mut [u8]) -> T) -> T {
        self.buffer.consume(take)
    }

    /// Reads a request. Returns `None` if the client closed the connection before it sent any byte of one. From a trusted
    /// proxy, the preamble comes first, within the same deadline.
    pub(crate) fn receive_request(
        &mut self,
        limits: &HandshakeConfig,
        mut preamble: Option<ProxyPreamble>,
    ) -> Result<Option<Request>, Error> {
        let mut handshake = Handshake::new(limits, self.clock.now());
        let peer = self.socket.addresses().peer;
        loop {
            if let Some(awaited) = &mut preamble
                && let Some(Proxied { client, tls }) = self.consume(|input| awaited.receive(input, peer))?
            {
                (preamble, self.client) = (None, client);
                if let Some(tls) = tls {
                    self.start_tls(tls, handshake.poll_timeout())?;
                }
            }
            if preamble.is_none()
                && let Some(request) = self.consume(|input| handshake.receive(input))?
            {
                return Ok(Some(request));
            }
            handshake.handle_timeout(self.clock.now())?;
            let has_begun = handshake.has_begun() || preamble.as_ref().is_some_and(ProxyPreamble::has_begun);
            match self.read(handshake.poll_timeout()) {
                Ok(Some(0)) if has_begun => return Err(HandshakeError::Eof.into()),
                Err(Error::Io(_)) | Ok(Some(0)) if !has_begun => return Ok(None),
                Ok(_) => {}
                Err(failed) => return Err(Error::of_opening(failed, HandshakeError::Eof)),
            }
        }
    }

    /// Begins TLS. Bytes that were received before belong to it.
    fn start_tls(&mut self, mut tls: TlsSession, due: Option<Timestamp>) -> Result<(), Error> {
        let mut decrypted = Ok(());
        self.buffer.decrypt_unread(|sealed, plain| decrypted = tls.decrypt(sealed, plain));
        self.tls = Some(Box::new(tls));
        // After an error, the output is the TLS alert for the peer.
        let (pause, deadline) = self.write_limits(due);
        let written = self.write_until(&mut &[][..], pause, deadline);
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
    /// earlier if the peer reads nothing for the write timeout. `linger` is called before the last wait, and omits it if it
    /// returns `false`.
    ///
    /// Until it is written, the response counts for the memory of the server. If it is the largest when the memory is
    /// short, it is cut.
    pub(crate) fn respond(
        self,
        response: Transmit,
        config: &Config,
        memory: &Arc<ServerMemory>,
        linger: impl FnOnce() -> bool,
    ) {
        let owner: Weak<dyn Evict> = Arc::<Socket>::downgrade(&self.socket);
        let charged = memory.charge_response(response.unshared_len(), owner);
        self.respond_charged(response, config, linger, charged);
    }

    /// Like [`respond`](Self::respond), for a short response, which does not count for the memory of the server.
    pub(crate) fn respond_short(self, response: Transmit, config: &Config, linger: impl FnOnce() -> bool) {
        self.respond_charged(response, config, linger, None);
    }

    fn respond_charged(
        mut self,
        mut response: Transmit,
        config: &Config,
        linger: impl FnOnce() -> bool,
        charged: Option<Arc<Holder>>,
    ) {
        let close_timeout = config.close_timeout;
        self.write_timeout = config.write_timeout;
        let deadline = Instant::now().checked_add(response_timeout(response.remaining(), close_timeout));
        if self.write_until(&mut response, self.write_timeout, deadline).is_err() {
            return;
        }
        drop((response, charged));
        if let Some(tls) = &mut self.tls {
            tls.close();
        }
        // If this fails, the next read returns.
        let _ = self.write_until(&mut &[][..], self.write_timeout, deadline);
        self.socket.shutdown(std::net::Shutdown::Write);
        if !linger() {
            return;
        }
        let closed_by = Instant::now().checked_add(close_timeout);
        self.buffer.drain(&self.socket, closed_by.into_iter().chain(deadline).min());
    }

    pub(crate) fn into_duplex(self, connection: Connection) -> Arc<Duplex> {
        Arc::new(Duplex::new(self.socket, self.clock, self.buffer, Driver::new(connection, self.tls)))
    }
}
