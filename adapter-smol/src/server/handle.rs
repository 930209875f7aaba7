use std::{sync::Arc, time::Duration};

use super::shared::Shared;

/// ServerHandle to stop a server and to count its connections.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    pub(super) shared: Arc<Shared>,
}

impl ServerHandle {
    /// Stops the server (graceful shutdown): closes the listening socket, closes every connection with 1001 (going
    /// away), and waits for all handlers to return. Connections that have not ended within `timeout` are aborted.
    /// Returns `true` if all connections ended in time.
    ///
    /// A handler notices the stop when it receives or sends. Clients that are connected but have not sent their
    /// request yet receive a 503 response. Another server can listen on the address immediately.
    ///
    /// The call takes at most `timeout`. Inside a handler or callback of the server, it does not wait for that
    /// handler or callback.
    pub async fn stop(&self, timeout: Duration) -> bool {
        self.shared.begin_stop(timeout);
        let stop = self.shared.stopped().await;
        self.shared.end_all(stop).await
    }

    /// Starts to stop the server in the same way as [`stop`](Self::stop), and returns without waiting for the
    /// connections. [`Listener::serve`](crate::Listener::serve) returns when all connections have ended, or when it
    /// has aborted the remaining ones after `timeout`.
    pub fn begin_stop(&self, timeout: Duration) {
        self.shared.begin_stop(timeout);
    }

    /// Returns the number of connections, including those in the opening handshake, and clients that
    /// [linger](crate::AdmissionLimits).
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.len()
    }
}
