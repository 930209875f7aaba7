use alloc::string::String;

use super::{Headers, server::belongs_to_handshake};

/// What a server adds when it accepts: a subprotocol, headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    pub(super) subprotocol: Option<String>,
    pub(super) headers: Headers,
    pub(super) unsendable: bool,
}

impl Accept {
    /// Adds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses one of the subprotocols that the client offers.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// Adds a header to the response, such as a cookie. A header that cannot be sent, or that belongs to
    /// the handshake itself, makes [`Upgrade::accept`](super::server::Upgrade::accept) fail.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.unsendable |= belongs_to_handshake(name) || !self.headers.push(name, value);
        self
    }

    /// Whether a subprotocol was chosen.
    #[must_use]
    pub const fn has_subprotocol(&self) -> bool {
        self.subprotocol.is_some()
    }
}
