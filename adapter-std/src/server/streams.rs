use std::{os::unix::net::UnixStream, sync::Arc};

use ws_core::Response;
use ws_sessions::{ConnectionErrorKind, Origin, guard};
use ws_transport::{Clock, Error};

use super::{BoundServer, ServerHandle, connection, shared::Shared};
use crate::{
    opening::Opening,
    stream::{IntoSocket, adopt},
};

/// A [`Server`](super::Server) without a listening socket. It serves streams that the application has accepted.
///
/// Clones serve the same routes and share the counters and the handle.
#[derive(Clone, Debug)]
pub struct StreamServer {
    shared: Arc<Shared>,
    /// The other end of the wake-up socket, which a listener would read.
    _woken: Arc<UnixStream>,
}

impl StreamServer {
    pub(super) fn new(server: BoundServer) -> Result<Self, Error> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        Ok(Self { shared: Arc::new(Shared::new(server, None, wake)), _woken: Arc::new(woken) })
    }

    /// Serves the client of a stream on the calling thread, until the connection has ended. The handler or the callbacks of
    /// the route run on this thread. Errors of the connection are passed to the
    /// [hook](super::Server::on_error) and counted, as for any server. When
    /// [`max_connections`](super::Server::max_connections) are being served, the client is answered with 503.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if the stream cannot be [converted into a socket](IntoSocket::into_socket).
    pub fn serve(&self, stream: impl IntoSocket) -> Result<(), Error> {
        let socket = Arc::new(adopt(stream)?);
        let server = &self.shared.server;
        let Some(registration) = self.shared.register_if_room(&socket) else {
            let origin = Origin { peer_addr: socket.addresses().peer, path: None };
            let error = "the server has as many connections as it may";
            server.reporter.report(ConnectionErrorKind::Refused, Some(&origin), error);
            if server.tls_config.is_none() {
                let opening = Opening::new(socket, Clock::start(), None, None);
                let response = Response::new(503).header("Retry-After", "5");
                let response = response.text("The server is busy; try again later.\n").to_bytes();
                opening.respond(&response[..], server.router.config());
            }
            return Ok(());
        };
        // Panics of the application's handler were reported. This contains those of its hook for errors.
        let _ = guard(|| connection::serve(server, socket, &registration));
        Ok(())
    }

    /// Returns a handle that can stop the server: it closes the connections, and waits until
    /// [`serve`](Self::serve) has ended for each of them.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { shared: self.shared.clone() }
    }
}
