use std::{os::unix::net::UnixStream, sync::Arc};

use ws_core::Response;
use ws_sessions::guard;
use ws_transport::{Clock, Error};

use super::{BoundServer, ServerHandle, connection, shared::Shared};
use crate::{
    opening::Opening,
    socket::Socket,
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
        Ok(Self { shared: Arc::new(Shared::new(server, Vec::new(), wake)), _woken: Arc::new(woken) })
    }

    /// Serves the client of a stream on the calling thread, until the connection has ended. The handler or the callbacks of
    /// the route run on this thread. Errors of the connection are passed to the [hook](super::Server::on_error) and counted,
    /// as for any server. The limits and the check of admission apply too, with the peer's address if the stream is a TCP
    /// socket. A refused client is answered on the calling thread.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if the stream cannot be [converted into a socket](IntoSocket::into_socket).
    pub fn serve(&self, stream: impl IntoSocket) -> Result<(), Error> {
        let socket = Arc::new(adopt(stream)?);
        let server = &self.shared.server;
        match server.gate.admit(socket.addresses().peer, &server.reporter) {
            Ok(client) => {
                let registration = self.shared.register(&socket, client);
                // A panic of the application's code is contained elsewhere. This contains those of its destructors.
                let _ = guard(|| connection::serve(server, socket, &registration));
            }
            // A client that expects TLS cannot read a plain-text response.
            Err(Some(response)) if server.tls_config.is_none() => refuse(server, socket, response),
            Err(_) => {}
        }
        Ok(())
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

/// Answers a refused client, and waits for its end unless too many clients linger.
fn refuse(server: &BoundServer, socket: Arc<Socket>, response: Response) {
    let counted = server.gate.admission().linger();
    let response = server.reporter.refuse(&server.router, None, response);
    let opening = Opening::new(socket, Clock::start(), None, None);
    opening.respond_short(response, server.router.config(), || counted.is_some());
}
