use std::{fmt, net::SocketAddr};

use ws_core::server::Request;

use crate::excerpt::TextExcerpt;

/// The peer of a session, and the parameters of the connection.
#[derive(Default)]
pub struct PeerInfo {
    /// The path of the request.
    pub path: String,
    /// The request. `None` on a client.
    pub request: Option<Request>,
    /// The peer's address.
    pub address: Option<SocketAddr>,
    /// The address of this end.
    pub local_address: Option<SocketAddr>,
    /// The negotiated subprotocol.
    pub subprotocol: Option<String>,
}

impl fmt::Debug for PeerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerInfo")
            .field("path", &TextExcerpt(&self.path))
            .field("request", &self.request)
            .field("address", &self.address)
            .field("subprotocol", &self.subprotocol.as_deref().map(TextExcerpt))
            .finish()
    }
}
