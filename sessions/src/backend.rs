use std::{fmt::Debug, sync::Arc};

use ws_core::{CloseCode, Closure};
use ws_transport::{Error, Post, Posted, Wire};

/// What an adapter's connection can do for a [`Session`](crate::Session): all of it from any thread, and
/// none of it waiting for the peer.
pub trait Link: Debug + Send + Sync {
    /// Queues a message, and writes as much as goes at once unless the post is corked.
    ///
    /// # Errors
    ///
    /// As [`Wire::post`].
    fn post(self: Arc<Self>, post: Post<'_>) -> Result<Posted, Error>;

    /// Sends a ping.
    ///
    /// # Errors
    ///
    /// As [`Connection::ping`](ws_core::Connection::ping).
    fn ping(self: Arc<Self>, payload: &[u8]) -> Result<(), Error>;

    /// Begins the closing handshake, after all that was posted. Nothing happens if it has begun.
    ///
    /// # Errors
    ///
    /// A code or reason that cannot be sent.
    fn close(self: Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error>;

    /// Breaks the connection off if it has not ended, and tells how it ended.
    fn end(&self) -> Closure;

    /// Lets `look` have what there is of the connection.
    fn look(&self, look: &mut dyn FnMut(&Wire));

    /// How many bytes the [`Wire`] has given out that the network has not taken.
    fn unwritten(&self) -> usize;
}
