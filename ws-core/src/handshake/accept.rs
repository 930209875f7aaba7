use alloc::string::String;
use core::any::Any;

use super::{Headers, headers::belongs_to_handshake, values::Values};

/// Additions of a server to its accepting response: a subprotocol and headers. It also carries values for the handler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    pub(super) subprotocol: Option<String>,
    pub(super) headers: Headers,
    pub(super) unsendable: bool,
    pub(super) values: Values,
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

    /// Attaches a value for the handler, such as the user that a check has authenticated.
    /// [`Request::get`](super::server::Request::get) returns it by its type. A second value of the same type replaces
    /// the first. A type of your own cannot collide with one of other code.
    ///
    /// ```
    /// use ws_core::server::{Accept, Request};
    ///
    /// struct User(String);
    ///
    /// fn check(_request: &Request) -> Accept {
    ///     Accept::new().with(User("Ada".into()))
    /// }
    ///
    /// fn handler(request: &Request) {
    ///     if let Some(User(name)) = request.get() {
    ///         println!("{name} has connected");
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.values.insert(value);
        self
    }

    /// Returns `true` if a subprotocol was selected.
    #[must_use]
    pub const fn has_subprotocol(&self) -> bool {
        self.subprotocol.is_some()
    }
}
