use std::net::SocketAddr;

use socket2::Socket;

/// The addresses of both ends of a connection, remembered from its start. The operating system forgets the peer's as soon
/// as the peer has gone, which is when a log needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The peer's address. `None` for a Unix-domain socket, and for a stream of the application.
    pub peer: Option<SocketAddr>,
    /// The address of this end. `None` as for the peer's.
    pub local: Option<SocketAddr>,
}

impl Addresses {
    /// Returns the addresses of a connected socket. `peer` is the peer's address as far as it is known already.
    #[must_use]
    pub fn of(socket: &Socket, peer: Option<SocketAddr>) -> Self {
        let system_peer = || socket.peer_addr().ok()?.as_socket();
        Self {
            peer: peer.or_else(system_peer),
            local: socket.local_addr().ok().and_then(|it| it.as_socket()),
        }
    }
}
