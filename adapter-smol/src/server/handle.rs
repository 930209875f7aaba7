use std::{sync::Arc, time::Duration};

use super::shared::Shared;

/// Stops a server.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    /// Stops the server (graceful shutdown): closes the listening socket, closes every connection with 1001 (going away)
    /// and waits for all handlers to return. Connections that have not ended after `timeout` are broken off. Returns
    /// `true` if that was not necessary.
    ///
    /// A handler notices when it receives or sends. Clients that have connected and not sent their request yet are
    /// answered with 503. Another server can listen on the address at once.
    ///
    /// The call takes no longer than `timeout`. Inside a handler or callback of the server it does not wait for that
    /// handler or callback.
    pub async fn stop(&self, timeout: Duration) -> bool {
        self.shared.begin_stop(timeout);
        let stop = self.shared.stopped().await;
        self.shared.end_all(stop).await
    }

    /// Begins to stop the server, as [`stop`](Self::stop) does, and does not wait for the connections to end.
    /// [`Listener::serve`](crate::Listener::serve) returns when they have ended, or when it has broken them off after
    /// `timeout`.
    pub fn begin_stop(&self, timeout: Duration) {
        self.shared.begin_stop(timeout);
    }

    /// Returns the number of connections, handshakes included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.len()
    }
}
