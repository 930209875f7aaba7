use std::net::SocketAddr;

use socket2::Socket;
use ws_core::{Scheme, server::Request};

use crate::tls::TlsSession;

/// The addresses of both ends of a connection, stored when it starts. The operating system drops the peer's address as
/// soon as the peer disconnects, and that is when a log needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The peer's address. `None` for a Unix-domain socket, and for a stream that the application supplies.
    pub peer: Option<SocketAddr>,
    /// The address of this end. `None` for the same streams as `peer`.
    pub local: Option<SocketAddr>,
}

impl Addresses {
    /// Returns the addresses of a connected socket. `peer` is the peer's address if it is already known.
    #[must_use]
    pub fn of(socket: &Socket, peer: Option<SocketAddr>) -> Self {
        let system_peer = || socket.peer_addr().ok()?.as_socket();
        Self {
            peer: peer.or_else(system_peer),
            local: socket.local_addr().ok().and_then(|it| it.as_socket()),
        }
    }

    /// Sets the properties of a connection in a request that it carries: the addresses, the scheme and the client's
    /// certificates. `tls` is the TLS session of the connection, if it has one.
    pub fn describe(self, tls: Option<&TlsSession>, request: &mut Request) {
        request.set_peer_addr(self.peer);
        request.set_local_addr(self.local);
        request.set_scheme(if tls.is_some() { Scheme::Https } else { Scheme::Http });
        request.set_client_certificates(tls.map(TlsSession::peer_certificates).unwrap_or_default());
    }
}
