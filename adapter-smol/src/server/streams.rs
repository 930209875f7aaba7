use std::sync::Arc;

use futures_lite::{AsyncRead, AsyncWrite};

use super::{
    BoundServer, ServerHandle, listener,
    shared::{Place, Shared},
};
use crate::stream::Stream;

/// A [`Server`](super::Server) without a listening socket. It serves streams that the application has accepted.
///
/// Clones serve the same routes and share the counters and the handle.
#[derive(Clone, Debug)]
pub struct StreamServer {
    shared: Arc<Shared>,
}

impl StreamServer {
    pub(super) fn new(server: BoundServer) -> Self {
        Self { shared: Arc::new(Shared::new(server, Vec::new())) }
    }

    /// Serves the client of a stream in the calling task, until the connection has ended. The handler or the callbacks of
    /// the route run in this task. Errors of the connection are passed to the [hook](super::Server::on_error) and counted,
    /// as for any server. The limits and the check of admission apply too, without the peer's address, which is not known
    /// here. A refused client is answered in the calling task. Dropping the future aborts the connection.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        let stream = Stream::other(stream);
        match self.shared.register(None) {
            Place::Served(registration) => listener::serve(registration, stream, None).await,
            Place::Refused(refusal, response) => listener::refuse(refusal, response, stream).await,
            Place::Dismissed(response) => listener::dismiss(&self.shared.server, response, stream).await,
            Place::None => {}
        }
    }

    /// Returns the maximum number of connections, as [`Listener::max_connections`](super::Listener::max_connections) does.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.shared.server.gate.admission().max_connections()
    }

    /// Returns a handle that can stop the server: it closes the connections, and waits until
    /// [`serve`](Self::serve) has ended for each of them.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { shared: self.shared.clone() }
    }
}
