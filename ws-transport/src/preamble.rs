use std::{net::SocketAddr, sync::Arc};

use rustls::ServerConfig;
use ws_core::server::ProxyHeaderReader;

use crate::{
    ConnectionSpan, Error,
    tls::{ServerTls, TlsSession},
};

/// The beginning of a connection from a trusted proxy: the header of the PROXY protocol, and the TLS session behind it.
#[derive(Debug)]
pub struct ProxyPreamble {
    reader: ProxyHeaderReader,
    tls: Option<Arc<ServerConfig>>,
}

/// The result of a [`ProxyPreamble`].
#[derive(Debug)]
pub struct Proxied {
    /// The client's address. It is that of the proxy if the header has none.
    pub client: Option<SocketAddr>,
    /// The TLS session that begins with the bytes behind the header.
    pub tls: Option<TlsSession>,
}

impl ProxyPreamble {
    /// Creates the state of a connection from which no byte was read. `tls` is the configuration of a server that uses TLS.
    #[must_use]
    pub fn new(tls: Option<&Arc<ServerConfig>>) -> Self {
        Self { reader: ProxyHeaderReader::new(), tls: tls.cloned() }
    }

    /// Takes received bytes off `input`, up to the end of the header, and returns the result then. `peer` is the address of
    /// the proxy.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Handshake`] if the bytes are not a header of the PROXY protocol.
    /// - Returns [`Error::Tls`] if the session cannot begin.
    pub fn receive(
        &mut self,
        input: &mut &mut [u8],
        peer: Option<SocketAddr>,
    ) -> Result<Option<Proxied>, Error> {
        let Some(header) = self.reader.receive(input)? else { return Ok(None) };
        let tls = self.tls.as_ref().map(ServerTls::session).transpose()?;
        Ok(Some(Proxied { client: ConnectionSpan::proxied(header, peer), tls }))
    }

    /// Returns `true` if a part of the header was received.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.reader.has_begun()
    }
}
