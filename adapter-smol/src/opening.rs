//! A connection during its opening handshake.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Buf;
use ws_core::{
    Config, Connection, HandshakeConfig, HandshakeError, Timestamp, Transmit,
    server::{Handshake, Request},
};
use ws_transport::{
    Addresses, Clock, Driver, Error, Evict, Holder, Proxied, ProxyPreamble, ServerMemory, response_timeout,
    tls::TlsSession,
};

use crate::{duplex::Duplex, input::Input, lazy_timer::LazyTimer, stream::Stream};

/// Time limits of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseTimeouts {
    pub(crate) close: Duration,
    /// Maximum pause during which the peer reads nothing.
    pub(crate) write: Option<Duration>,
}

impl From<&Config> for ResponseTimeouts {
    fn from(config: &Config) -> Self {
        Self { close: config.close_timeout, write: config.write_timeout }
    }
}

pub(crate) struct Opening {
    stream: Stream,
    addresses: Addresses,
    clock: Clock,
    tls: Option<Box<TlsSession>>,
    /// The client's address, if a trusted proxy has reported it by the PROXY protocol.
    client: Option<SocketAddr>,
    input: Input,
    output: Transmit,
    timer: LazyTimer,
}

impl Opening {
    /// Creates the state of an opening handshake. `peer` is the peer's address, if it is already known.
    pub(crate) fn new(
        stream: Stream,
        peer: Option<SocketAddr>,
        clock: Clock,
        tls: Option<TlsSession>,
    ) -> Self {
        let (input, output, timer) = Default::default();
        let addresses = stream.addresses(peer);
        Self { stream, addresses, clock, tls: tls.map(Box::new), client: None, input, output, timer }
    }

    /// Sets the properties of this connection in a request.
    pub(crate) fn describe(&self, request: &mut Request) {
        self.addresses.describe(self.tls.as_deref(), request);
        if self.client.is_some() {
            request.set_peer_addr(self.client);
        }
    }

    /// Passes the received bytes to `take`. Bytes that it leaves are kept for the connection.
    pub(crate) fn consume<T>(&mut self, take: impl FnOnce(&mut &mut [u8]) -> T) -> T {
        self.input.consume(take)
    }

    /// Reads a request. Returns `None` if the client closed before it sent any byte. Also returns the deadline of the
    /// opening handshake. From a trusted proxy, the preamble comes first, within the same deadline.
    pub(crate) async fn receive_request(
        &mut self,
        limits: &HandshakeConfig,
        mut preamble: Option<ProxyPreamble>,
    ) -> Result<Option<(Request, Option<Timestamp>)>, Error> {
        let mut handshake = Handshake::new(limits, self.clock.now());
        let peer = self.addresses.peer;
        loop {
            if let Some(awaited) = &mut preamble
                && let Some(Proxied { client, tls }) = self.consume(|input| awaited.receive(input, peer))?
            {
                (preamble, self.client) = (None, client);
                if let Some(tls) = tls {
                    self.start_tls(tls)?;
                }
            }
            if preamble.is_none()
                && let Some(request) = self.consume(|input| handshake.receive(input))?
            {
                return Ok(Some((request, handshake.poll_timeout())));
            }
            handshake.handle_timeout(self.clock.now())?;
            let has_begun = handshake.has_begun() || preamble.as_ref().is_some_and(ProxyPreamble::has_begun);
            match self.read(handshake.poll_timeout()).await {
                Ok(Some(0)) if has_begun => return Err(HandshakeError::Eof.into()),
                Err(Error::Io(_)) | Ok(Some(0)) if !has_begun => return Ok(None),
                Ok(_) => {}
                Err(failed) => return Err(Error::of_opening(failed, HandshakeError::Eof)),
            }
        }
    }

    /// Begins TLS. Bytes that were received before belong to it.
    fn start_tls(&mut self, mut tls: TlsSession) -> Result<(), Error> {
        let mut decrypted = Ok(());
        self.input.decrypt_unread(|sealed, plain| decrypted = tls.decrypt(sealed, plain));
        self.tls = Some(Box::new(tls));
        if decrypted.is_err() {
            // Send the TLS alert that reports the error to the peer.
            let _ = self.poll_write_out(&mut Context::from_waker(std::task::Waker::noop()));
        }
        Ok(decrypted?)
    }

    /// Writes the queued output and reads once, until `due` at the latest. Returns `Ok(None)` if nothing arrived in
    /// time, and `Ok(Some(0))` at the end of the stream.
    pub(crate) async fn read(&mut self, due: Option<Timestamp>) -> Result<Option<usize>, Error> {
        let read = poll_fn(|cx| {
            let written = self.poll_write_out(cx);
            if let Poll::Ready(read) = self.poll_read(cx) {
                return Poll::Ready(read.map(Some));
            }
            let late = self.timer.poll(due, self.clock, cx).is_ready();
            // Input that the peer sent before it disconnected takes precedence over the write error.
            match written {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                _ if late => Poll::Ready(Ok(None)),
                _ => Poll::Pending,
            }
        });
        let read = read.await;
        if read.is_err() {
            // Send the TLS alert that reports the error to the peer.
            let _ = self.poll_write_out(&mut Context::from_waker(std::task::Waker::noop()));
        }
        read
    }

    /// Waits until the deadline. With `None`, it waits forever.
    pub(crate) async fn wait_until(&mut self, due: Option<Timestamp>) {
        poll_fn(|cx| self.timer.poll(due, self.clock, cx)).await;
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Error>> {
        match &mut self.tls {
            None => self.input.poll_fill(&mut self.stream, cx).map_err(Error::Io),
            Some(tls) => {
                let mut decrypted = Ok(());
                let read = ready!(self.input.poll_fill_sealed(&mut self.stream, cx, |sealed, plain| {
                    decrypted = tls.decrypt(sealed, plain);
                }));
                Poll::Ready(decrypted.map_err(Error::Tls).and_then(|()| Ok(read?)))
            }
        }
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls {
            tls.take_output(&mut self.output);
        }
        while self.output.has_remaining() {
            let slices = [IoSlice::new(self.output.chunk())];
            let written = ready!(self.stream.poll_write(cx, &slices))?;
            self.output.advance(written);
        }
        self.stream.poll_flush(cx)
    }

    /// Writes a response that opens no connection, shuts down the writing direction, and waits until the peer closes
    /// its side. The total time is limited by [`response_timeout`], and the last wait is limited by the close
    /// timeout. A peer that accepts no output for the write timeout is disconnected earlier. `linger` is called before the
    /// last wait, and omits it if it returns `false`.
    ///
    /// Until it is written, the response counts for the memory of the server. If it is the largest when the memory is
    /// short, `owner` is ended.
    pub(crate) async fn respond(
        self,
        response: Transmit,
        timeouts: ResponseTimeouts,
        linger: impl FnOnce() -> bool,
        memory: &Arc<ServerMemory>,
        owner: Weak<dyn Evict>,
    ) {
        let charged = memory.charge_response(response.unshared_len(), owner);
        self.respond_charged(response, timeouts, linger, charged).await;
    }

    async fn respond_charged(
        mut self,
        mut response: Transmit,
        timeouts: ResponseTimeouts,
        linger: impl FnOnce() -> bool,
        charged: Option<Arc<Holder>>,
    ) {
        let ResponseTimeouts { close, write } = timeouts;
        let due = self.clock.now() + response_timeout(response.remaining(), close);
        while response.has_remaining() {
            self.queue_piece(&mut response);
            if !self.write_by(due, write).await {
                return;
            }
        }
        drop((response, charged));
        if let Some(tls) = &mut self.tls {
            tls.close();
            self.write_by(due, write).await;
        }
        if !linger() {
            return;
        }
        let closed_by = Some(due.min(self.clock.now() + close));
        let mut is_closed = false;
        poll_fn(|cx| {
            is_closed = is_closed || self.stream.poll_close(cx).is_ready();
            match self.input.poll_drain(&mut self.stream, cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => self.timer.poll(closed_by, self.clock, cx),
            }
        })
        .await;
    }

    /// Like [`respond`](Self::respond), for a short response, which does not count for the memory of the server.
    pub(crate) async fn respond_short(
        self,
        response: Transmit,
        timeouts: ResponseTimeouts,
        linger: impl FnOnce() -> bool,
    ) {
        self.respond_charged(response, timeouts, linger, None).await;
    }

    /// Queues the next piece of a response. Plain output is queued as a whole. Encrypted output is queued in pieces,
    /// so that a large page is not copied in memory for each client.
    fn queue_piece(&mut self, response: &mut Transmit) {
        const PIECE: usize = 64 << 10;
        let before = response.remaining();
        match &mut self.tls {
            Some(tls) => tls.encrypt_all(&mut (&mut *response).take(PIECE), &mut self.output),
            None => response.drain_into(&mut self.output),
        }
        if response.remaining() == before {
            // A TLS session that has failed accepts no more output.
            *response = Transmit::default();
        }
    }

    /// Writes the queued output. Returns `false` if the write fails, if the peer accepts nothing for `pause`, or if
    /// the output is not written by `due`.
    async fn write_by(&mut self, due: Timestamp, pause: Option<Duration>) -> bool {
        let mut progress = self.clock.now();
        poll_fn(|cx| {
            loop {
                let before = self.output.remaining();
                if let Poll::Ready(written) = self.poll_write_out(cx) {
                    return Poll::Ready(written.is_ok());
                }
                let now = self.clock.now();
                if self.output.remaining() < before {
                    progress = now;
                }
                let next = due.min(pause.map_or(due, |pause| progress + pause));
                ready!(self.timer.poll(Some(next), self.clock, cx));
                if next <= self.clock.now() {
                    return Poll::Ready(false);
                }
            }
        })
        .await
    }

    pub(crate) fn into_duplex(self, connection: Connection) -> Arc<Duplex> {
        let driver = Driver::new(connection, self.tls);
        Duplex::new(self.stream, self.addresses, self.clock, self.input, self.timer, driver)
    }
}
