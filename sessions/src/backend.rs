use std::{fmt::Debug, sync::Arc};

use ws_core::{CloseCode, Closure};
use ws_transport::{Driver, Error, Outgoing, SendOutcome};

/// What an adapter's connection can do for a [`Session`](crate::Session): from any thread, and without waiting for the
/// peer.
pub trait SessionBackend: Debug + Send + Sync {
    /// Queues a message, and writes as much as goes at once unless it is a reply.
    ///
    /// # Errors
    ///
    /// As [`Driver::post`].
    fn post(self: Arc<Self>, outgoing: Outgoing<'_>) -> Result<SendOutcome, Error>;

    /// Sends a ping.
    ///
    /// # Errors
    ///
    /// As [`Connection::ping`](ws_core::Connection::ping).
    fn ping(self: Arc<Self>, payload: &[u8]) -> Result<(), Error>;

    /// Begins the closing handshake, after everything that was posted. Does nothing if it has begun.
    ///
    /// # Errors
    ///
    /// Returns an error for a code or reason that cannot be sent.
    fn close(self: Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error>;

    /// Breaks the connection off if it has not ended, and returns how it ended.
    fn end(&self) -> Closure;

    /// Lets `look` have the driver of the connection.
    fn look(&self, look: &mut dyn FnMut(&Driver));
}
