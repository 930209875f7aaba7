use std::{net::SocketAddr, ops::Deref};

use ws_core::{Parameters, server};

/// A client's request, as a handler sees it: the head with its path, query and headers (through
/// dereferencing), what filled the names in the route, and who asks.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) head: server::Request,
    pub(super) parameters: Parameters,
    pub(super) peer_addr: Option<SocketAddr>,
}

impl Request {
    /// What fills the name in the route, percent-decoded: for `/rooms/:room` that of `room`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name)
    }

    /// The client's address.
    #[must_use]
    pub const fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer_addr
    }
}

impl Deref for Request {
    type Target = server::Request;

    fn deref(&self) -> &server::Request {
        &self.head
    }
}
