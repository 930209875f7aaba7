use std::{sync::Arc, time::Duration};

use super::shared::Shared;

/// A handle that stops a server.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    pub(super) shared: Arc<Shared>,
}

impl ServerHandle {
    /// Stops the server (graceful shutdown). Closes the listening socket, closes every connection with 1001 (going
    /// away), and waits until all handlers have returned. After `timeout`, aborts the remaining connections. Returns
    /// `true` if all connections ended before that.
    ///
    /// A handler detects the stop when it receives or sends. Clients that have connected but not sent their request
    /// yet are answered with 503. Another server can listen on the address at once.
    ///
    /// This method waits for at most `timeout`. Inside a handler or callback of the server, it does not wait for that
    /// handler or callback.
    pub fn stop(&self, timeout: Duration) -> bool {
        self.shared.begin_stop(timeout);
        self.shared.stop().is_none_or(|stop| self.shared.end_all(stop))
    }

    /// Begins to stop the server like [`stop`](Self::stop), but does not wait for the connections to end.
    /// [`Listener::serve`](crate::Listener::serve) returns when they have ended. After `timeout`, it aborts the
    /// remaining connections and returns.
    pub fn begin_stop(&self, timeout: Duration) {
        self.shared.begin_stop(timeout);
    }

    /// Returns the number of connections, including opening handshakes, and clients that
    /// [linger](crate::AdmissionLimits).
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.len()
    }
}
