use std::{fmt::Debug, sync::Arc};

use ws_core::{Chunk, CloseCode, CloseInfo, Message};
use ws_transport::{Driver, Error, MessageAssembler, Outgoing, SendOutcome};

/// Operations of an adapter's connection that a [`Session`](crate::Session) uses. They run on any thread and do not
/// wait for the peer.
pub trait SessionBackend: Debug + Send + Sync {
    /// Queues a message. Unless the message is a reply, this also writes as much as the transport accepts without
    /// waiting.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Driver::post`].
    fn post(self: Arc<Self>, outgoing: Outgoing<'_>) -> Result<SendOutcome, Error>;

    /// Sends a ping.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Connection::ping`](ws_core::Connection::ping).
    fn ping(self: Arc<Self>, payload: &[u8]) -> Result<(), Error>;

    /// Begins the closing handshake after all queued messages. Does nothing if the closing handshake has already
    /// begun.
    ///
    /// # Errors
    ///
    /// Returns an error if the code or the reason cannot be sent.
    fn close(self: Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error>;

    /// Aborts the connection if it has not ended, and returns the way it ended.
    fn end(&self) -> CloseInfo;

    /// Adds a received chunk to a message, as [`Driver::assemble`] does.
    fn assemble(&self, assembler: &mut MessageAssembler, chunk: Chunk<'_>) -> Option<Message<'static>>;

    /// Limits the number of unsent bytes that the operating system accepts for the connection, if it supports such a limit.
    fn limit_unsent(&self, bytes: u32) {
        let _ = bytes;
    }

    /// Aborts the connection, even during its closing handshake.
    fn abort(&self);

    /// Calls `look` with the driver of the connection.
    fn look(&self, look: &mut dyn FnMut(&Driver));
}
