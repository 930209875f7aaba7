use alloc::string::String;

use super::{Headers, server::belongs_to_handshake};

/// Additions of a server to its accepting response: a subprotocol and headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    pub(super) subprotocol: Option<String>,
    pub(super) headers: Headers,
    pub(super) unsendable: bool,
}

impl Accept {
    /// Creates an empty set of additions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects one of the subprotocols that the client offers.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// Adds a header to the response, such as a cookie. [`Upgrade::accept`](super::server::Upgrade::accept) fails if
    /// the header is invalid or belongs to the handshake itself.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.unsendable |= belongs_to_handshake(name) || !self.headers.push(name, value);
        self
    }

    /// Returns `true` if a subprotocol was selected.
    #[must_use]
    pub const fn has_subprotocol(&self) -> bool {
        self.subprotocol.is_some()
    }
}
