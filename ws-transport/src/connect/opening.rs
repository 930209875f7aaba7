use std::{io, sync::Arc, time::Duration};

use bytes::Buf;
use ws_core::{
    Config, Connection, HandshakeConfig, HandshakeError, Response, TimeoutKind, Timestamp, Transmit,
    client::{Handshake, Request},
    proxy,
};

use super::deadlines::{Deadline, after, earliest, passed};
use crate::{ConnectionSpan, Error, error::is_end_of_stream, seed, tls::TlsSession};

/// The layers between a connected socket and the WebSocket while they open one after the other: TLS to the proxy, the
/// request to the proxy, TLS to the server (within TLS to the proxy, if there is one), and the opening handshake.
///
/// It does no I/O. An adapter writes [`transmit`](Self::transmit), passes the bytes that it reads to
/// [`receive`](Self::receive), and the time to [`handle_timeout`](Self::handle_timeout). After an error, it writes once what
/// remains, which may be an alert of TLS.
#[derive(Debug)]
pub struct ClientOpening {
    stage: Stage,
    /// The layers of TLS that exist.
    tls: Option<Box<TlsSession>>,
    output: Transmit,
    total: Deadline,
}

/// The result of a [`ClientOpening`].
#[derive(Debug)]
pub struct Opened {
    /// The WebSocket.
    pub connection: Connection,
    /// The server's response.
    pub response: Response,
    /// TLS between the socket and the WebSocket.
    pub tls: Option<Box<TlsSession>>,
    /// The bytes behind the response. They belong to the connection.
    pub rest: Vec<u8>,
    /// The span in which the opening ran.
    pub span: ConnectionSpan,
}

#[derive(Debug)]
enum Stage {
    Proxy(Box<ProxyStage>, Box<Server>),
    Server { handshake: Box<Handshake>, tls_deadline: Deadline },
}

#[derive(Debug)]
pub(super) struct ProxyStage {
    handshake: proxy::Handshake,
    deadline: Deadline,
}

impl ProxyStage {
    pub(super) const fn new(handshake: proxy::Handshake, deadline: Deadline) -> Self {
        Self { handshake, deadline }
    }
}

/// Everything that the handshakes with the server need.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) request: Request,
    pub(super) limits: HandshakeConfig,
    pub(super) config: Arc<Config>,
    pub(super) tls: Option<Box<TlsSession>>,
    pub(super) tls_timeout: Option<Duration>,
}

impl ClientOpening {
    /// Creates an opening handshake over a stream that leads to the server, without TLS.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Handshake`] if the request cannot be sent.
    pub fn plain(
        request: &Request,
        limits: &HandshakeConfig,
        config: Config,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let (request, limits, config) = (request.clone(), limits.clone(), Arc::new(config));
        let server = Server { request, limits, config, tls: None, tls_timeout: None };
        Self::new(server, (None, TimeoutKind::Total), now)
    }

    pub(super) fn new(mut server: Server, total: Deadline, now: Timestamp) -> Result<Self, Error> {
        let tls = server.tls.take();
        let mut opening =
            Self { stage: Stage::of_server(&server, now)?, tls, output: Transmit::default(), total };
        opening.flush();
        Ok(opening)
    }

    pub(super) fn through(
        proxy: ProxyStage,
        tls: Option<Box<TlsSession>>,
        server: Server,
        total: Deadline,
    ) -> Self {
        let stage = Stage::Proxy(Box::new(proxy), Box::new(server));
        let mut opening = Self { stage, tls, output: Transmit::default(), total };
        opening.flush();
        opening
    }

    /// Returns the bytes to be written.
    pub const fn transmit(&mut self) -> &mut Transmit {
        &mut self.output
    }

    /// Receives the bytes that were read. Returns the connection if it is open.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Proxy`] or [`Error::ProxyTls`] if the proxy refused or violated its protocol.
    /// - Returns [`Error::Tls`] if the server caused a TLS error.
    /// - Returns [`Error::Handshake`] if the server refused or violated the protocol.
    pub fn receive(&mut self, received: &[u8], now: Timestamp) -> Result<Option<Opened>, Error> {
        let mut plain = Vec::new();
        let decrypted = match &mut self.tls {
            Some(tls) => tls.decrypt(received, &mut plain),
            None => {
                plain.extend_from_slice(received);
                Ok(())
            }
        };
        let is_proxy = matches!(self.stage, Stage::Proxy(..));
        let opened = self.consume(&mut plain, now);
        self.flush();
        let opened = opened?;
        if let Err(error) = decrypted {
            return Err(if is_proxy { Error::ProxyTls(error) } else { Error::Tls(error) });
        }
        // RFC 8446 6.1: nothing follows a `close_notify`.
        if opened.is_none() && self.tls.as_ref().is_some_and(|tls| tls.is_closed_by_peer()) {
            return Err(self.receive_eof());
        }
        Ok(opened)
    }

    /// Reports that the stream has ended. Returns the resulting error.
    pub fn receive_eof(&mut self) -> Error {
        match &mut self.stage {
            Stage::Proxy(proxy, _) => Error::Proxy(proxy.handshake.receive_eof()),
            Stage::Server { handshake, .. } => Error::Handshake(handshake.receive_eof()),
        }
    }

    /// Reports that reading or writing has failed. Returns the resulting error.
    pub fn fail(&mut self, error: io::Error) -> Error {
        match &mut self.stage {
            Stage::Proxy(..) if is_end_of_stream(error.kind()) => self.receive_eof(),
            Stage::Proxy(..) => Error::Io(error),
            Stage::Server { handshake, .. } => Error::of_opening(Error::Io(error), handshake.receive_eof()),
        }
    }

    /// Reports the current time.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Timeout`] if the deadline of a phase or of the whole has passed.
    /// - Returns the errors of [`Handshake::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Timestamp) -> Result<(), Error> {
        if let Some(kind) = passed(&[self.phase()], now) {
            return Err(Error::Timeout(kind));
        }
        if let Stage::Server { handshake, .. } = &mut self.stage {
            handshake.handle_timeout(now)?;
        }
        let Some(kind) = passed(&[self.total], now) else { return Ok(()) };
        Err(match self.receive_eof() {
            // The refusal has arrived, except for the end of its body.
            refused @ Error::Handshake(HandshakeError::Refused(_)) => refused,
            _ => Error::Timeout(kind),
        })
    }

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) has to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let handshake = match &self.stage {
            Stage::Proxy(..) => None,
            Stage::Server { handshake, .. } => handshake.poll_timeout(),
        };
        earliest(&[self.phase(), self.total, (handshake, TimeoutKind::Total)])
    }

    /// Returns the deadline of the phase before the opening handshake of the WebSocket.
    fn phase(&self) -> Deadline {
        match &self.stage {
            Stage::Proxy(proxy, _) => proxy.deadline,
            Stage::Server { tls_deadline, .. } => {
                let is_handshaking = self.tls.as_ref().is_some_and(|tls| tls.is_handshaking());
                (tls_deadline.0.filter(|_| is_handshaking), tls_deadline.1)
            }
        }
    }

    /// Passes decrypted bytes to the present stage and to those that follow.
    fn consume(&mut self, plain: &mut Vec<u8>, now: Timestamp) -> Result<Option<Opened>, Error> {
        if let Stage::Proxy(proxy, server) = &mut self.stage {
            let mut input = &mut plain[..];
            if proxy.handshake.receive(&mut input)?.is_none() {
                return Ok(None);
            }
            let rest = input.to_vec();
            let server_tls = server.tls.take();
            self.stage = Stage::of_server(server, now)?;
            match server_tls {
                None => *plain = rest,
                Some(mut tls) => {
                    plain.clear();
                    tls.decrypt(&rest, plain)?;
                    self.tls = Some(match self.tls.take() {
                        Some(outer) => Box::new(tls.over(outer)),
                        None => tls,
                    });
                }
            }
        }
        let Stage::Server { handshake, .. } = &mut self.stage else { return Ok(None) };
        let mut input = &mut plain[..];
        let Some((connection, response)) = handshake.receive(&mut input)? else { return Ok(None) };
        let (tls, rest, span) = (self.tls.take(), input.to_vec(), ConnectionSpan::current());
        Ok(Some(Opened { connection, response, tls, rest, span }))
    }

    /// Moves the output of the present stage through the layers of TLS.
    fn flush(&mut self) {
        match &mut self.stage {
            Stage::Proxy(proxy, _) => {
                seal(proxy.handshake.transmit(), self.tls.as_deref_mut(), &mut self.output);
            }
            Stage::Server { handshake, .. } => {
                seal(handshake.transmit(), self.tls.as_deref_mut(), &mut self.output);
            }
        }
    }
}

impl Stage {
    fn of_server(server: &Server, now: Timestamp) -> Result<Self, Error> {
        let Server { request, limits, config, .. } = server;
        let handshake = Handshake::new(request, limits, config.clone(), seed()?, now)?;
        let tls_deadline = after(now, server.tls_timeout, TimeoutKind::Tls);
        Ok(Self::Server { handshake: Box::new(handshake), tls_deadline })
    }
}

/// Moves bytes into the output. During the TLS handshake, the session keeps them and sends them after its last flight.
fn seal(mut bytes: impl Buf, tls: Option<&mut TlsSession>, output: &mut Transmit) {
    match tls {
        Some(tls) => {
            tls.encrypt_all(&mut bytes, output);
            tls.take_output(output);
        }
        None => {
            while bytes.has_remaining() {
                let chunk = bytes.chunk();
                output.extend_from_slice(chunk);
                let len = chunk.len();
                bytes.advance(len);
            }
        }
    }
}
