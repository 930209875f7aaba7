use std::{
    io::{self, ErrorKind},
    net::{Shutdown, SocketAddr},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags};
use ws_core::Response;
use ws_sessions::{ConnectionErrorKind, Origin};
use ws_transport::{Error, ListeningSocket, accept_failure};

use super::{
    BoundServer, ServerHandle, connection,
    shared::{AcceptedClient, Shared, accept_waiting},
};
use crate::socket::{ReadTimeout, Socket, is_timeout, wait};

/// Pause of the accept loop when the process is out of file descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Time for threads to detect that their connections were aborted.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// A [`Server`](super::Server) that is bound to an address.
#[derive(Debug)]
pub struct Listener {
    local_addr: Option<SocketAddr>,
    /// Becomes readable when the server has to stop.
    stopped: UnixStream,
    shared: Arc<Shared>,
}

/// The result of an attempt to accept a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepted {
    Client,
    /// No client waits.
    Nothing,
    /// File descriptors or memory are short, which is temporary.
    Shortage,
}

impl Listener {
    pub(super) fn new(server: BoundServer, listener: ListeningSocket) -> Result<Self, Error> {
        // Non-blocking: a client may disconnect between the wait and `accept`.
        listener.set_nonblocking(true)?;
        server.settings.listen.prepare(&listener);
        let (wake, stopped) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let local_addr = listener.address()?;
        server.reporter.started(local_addr);
        Ok(Self { local_addr, stopped, shared: Arc::new(Shared::new(server, listener, wake)) })
    }

    /// Returns the address that the server listens on. If the port was 0, it contains the assigned port.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] for a Unix-domain socket.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        let no_port = || io::Error::new(ErrorKind::Unsupported, "a Unix-domain socket has no port");
        Ok(self.local_addr.ok_or_else(no_port)?)
    }

    /// Returns a handle that can stop the server.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { shared: self.shared.clone() }
    }

    /// Serves clients until the server is [stopped](ServerHandle::stop) and its connections have ended.
    ///
    /// # Errors
    ///
    /// After an error, the listening socket is closed and threads without a connection end.
    ///
    /// - Returns [`Error::Io`] if the operating system cannot start the minimum number of
    ///   [`threads`](super::Server::threads).
    /// - Returns [`Error::Io`] if no client can connect any more, for example because another process has shut down
    ///   the listening socket.
    pub fn serve(self) -> Result<(), Error> {
        self.shared.pool.start()?;
        let mut refused = Refused::default();
        if let Some(listener) = self.shared.begin_accepting() {
            let accepted = self.accept_all(&listener, &mut refused);
            // Close the socket before the stop continues, so that another server can listen on the address.
            drop(listener);
            self.shared.end_accepting();
            accepted?;
        }
        for client in self.shared.take_late_clients() {
            self.admit(client, &mut refused);
        }
        if let Some(stop) = self.shared.stop() {
            refused.finish()?;
            if !self.shared.end_all(stop) {
                self.shared.pool.close(Some(Instant::now() + ABORT_GRACE));
            }
            self.shared.server.reporter.stopped();
        }
        Ok(())
    }

    /// Accepts clients until the server stops. Then accepts the clients that have already connected.
    fn accept_all(&self, listener: &ListeningSocket, refused: &mut Refused) -> io::Result<()> {
        loop {
            let [is_stopped, has_connected] = refused.wait([self.stopped.as_fd(), listener.as_fd()])?;
            if is_stopped {
                accept_waiting(listener, |client| self.admit(client, refused));
                return Ok(());
            }
            if has_connected && self.accept(listener, refused)? == Accepted::Shortage {
                wait(&mut [PollFd::new(&self.stopped, PollFlags::IN)], Some(ACCEPT_BACKOFF))?;
            }
        }
    }

    /// Accepts a client.
    fn accept(&self, listener: &ListeningSocket, refused: &mut Refused) -> io::Result<Accepted> {
        let (socket, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if is_timeout(&error) => return Ok(Accepted::Nothing),
            // The client has disconnected.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => return Ok(Accepted::Client),
            Err(error) => return accept_failure(&error).map_or(Ok(Accepted::Shortage), Err),
        };
        self.admit((socket, peer.as_socket()), refused);
        Ok(Accepted::Client)
    }

    /// Passes a client to a thread, or refuses it.
    fn admit(&self, (socket, peer): AcceptedClient, refused: &mut Refused) {
        let settings = &self.shared.server.settings;
        if let Err(error) = settings.listen.socket.run_hook(&socket) {
            return self.shared.server.reporter.report_unconfigured(peer, &error);
        }
        // This fails for a Unix-domain socket, which does not need the option. Like the next call, it may also fail
        // for a client that has disconnected.
        let _ = socket.set_tcp_nodelay(settings.listen.nodelay);
        let Ok(socket) = Socket::new(socket, peer).map(Arc::new) else { return };
        let (shared, served) = (self.shared.clone(), socket.clone());
        let run = self.shared.pool.run(move || {
            let registration = shared.register(&served);
            connection::serve(&shared.server, served, &registration);
        });
        if run.is_err() {
            self.refuse(socket, refused);
        }
    }

    fn refuse(&self, socket: Arc<Socket>, refused: &mut Refused) {
        let origin = Origin { peer_addr: socket.addresses().peer, path: None };
        // Counted first, so that a client that has its answer is counted.
        let error = "the server has as many connections as it may";
        self.shared.server.reporter.report(ConnectionErrorKind::Refused, Some(&origin), error);
        // A client that expects TLS could not read an answer in plain text.
        if self.shared.server.tls_config.is_none() {
            refused.add(socket);
        }
    }
}

impl Drop for Listener {
    /// Closes a listening socket that no thread serves, and ends the idle threads.
    fn drop(&mut self) {
        self.shared.drop_listener();
        self.shared.pool.close(Some(Instant::now()));
    }
}

/// Clients that were answered with 503 and have not closed yet. If their sockets were closed at once, a reset could
/// overtake the answer.
#[derive(Default)]
struct Refused(Vec<(Arc<Socket>, Instant)>);

impl Refused {
    /// Maximum number of clients to wait for.
    const MAX_CLIENTS: usize = 64;
    /// Maximum time to wait for each of them.
    const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

    fn add(&mut self, socket: Arc<Socket>) {
        let response = Response::new(503)
            .header("Retry-After", "5")
            .text("The server is busy; try again later.\n")
            .to_bytes();
        let written = socket.write_all(&mut &response[..], Some(Duration::ZERO), None);
        socket.shutdown(Shutdown::Write);
        if matches!(written, Ok(true)) && self.0.len() < Self::MAX_CLIENTS {
            self.0.push((socket, Instant::now() + Self::CLOSE_TIMEOUT));
        }
    }

    /// Waits until one of the sources is readable, and returns the readable ones. Meanwhile, drops the input of
    /// refused clients. Forgets clients that have closed or used up their time.
    fn wait<const N: usize>(&mut self, sources: [BorrowedFd<'_>; N]) -> io::Result<[bool; N]> {
        let sockets = self.0.iter().map(|(socket, _)| socket.as_fd());
        let fds = sources.into_iter().chain(sockets);
        let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect::<Vec<_>>();
        let next = self.0.iter().map(|&(_, deadline)| deadline).min();
        wait(&mut fds, next.map(|deadline| deadline.saturating_duration_since(Instant::now())))?;
        let is_readable = fds.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>();
        let now = Instant::now();
        let mut readable = is_readable.iter().skip(N).copied();
        self.0.retain(|(socket, deadline)| {
            let ended = readable.next().unwrap_or(false)
                && !matches!(
                    socket.read(&mut [0; 4096], Some(Duration::ZERO), &mut ReadTimeout::default()),
                    Ok(Some(1..))
                );
            !ended && now < *deadline
        });
        Ok(std::array::from_fn(|source| is_readable[source]))
    }

    /// Waits until all clients have closed or their time is over.
    fn finish(mut self) -> io::Result<()> {
        while !self.0.is_empty() {
            self.wait([])?;
        }
        Ok(())
    }
}
