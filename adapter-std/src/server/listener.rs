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
    BoundServer, Handle, connection,
    shared::{Client, Shared, accept_waiting},
};
use crate::socket::{ReadTimeout, Socket, is_timeout, wait};

/// How long to leave the listener alone when the process is out of file descriptors or memory.
const SHORTAGE: Duration = Duration::from_millis(50);
/// How long threads have to notice that their connections were broken off.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A [`Server`](super::Server) that listens.
#[derive(Debug)]
pub struct Listener {
    local_addr: Option<SocketAddr>,
    /// Readable when the server is to stop.
    stopped: UnixStream,
    shared: Arc<Shared>,
}

/// What became of an attempt to accept a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepted {
    Client,
    /// No client waits.
    Nothing,
    /// Descriptors or memory are short, which passes.
    Shortage,
}

impl Listener {
    pub(super) fn new(server: BoundServer, listener: ListeningSocket) -> Result<Self, Error> {
        // The wait before `accept` can be in vain, if the client changes its mind in between.
        listener.set_nonblocking(true)?;
        server.settings.listen.prepare(&listener);
        let (wake, stopped) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let local_addr = listener.address()?;
        Ok(Self { local_addr, stopped, shared: Arc::new(Shared::new(server, listener, wake)) })
    }

    /// Returns the address that the server listens on, with the port that was chosen.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if the address is a path.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        let no_port = || io::Error::new(ErrorKind::Unsupported, "a Unix-domain socket has no port");
        Ok(self.local_addr.ok_or_else(no_port)?)
    }

    /// A handle to stop the server with.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: self.shared.clone() }
    }

    /// Serves clients until the server is [stopped](Handle::stop) and the connections have ended.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if the operating system cannot start the least [`threads`](super::Server::threads), or if no
    /// client can connect any more, because another process has shut the listening socket down for example. The listening
    /// socket is closed then, and threads without a connection end.
    pub fn serve(self) -> Result<(), Error> {
        self.shared.pool.start()?;
        let mut refused = Refused::default();
        if let Some(listener) = self.shared.begin_accepting() {
            let accepted = self.accept_all(&listener, &mut refused);
            // Closed before a stop goes on, so that another server can listen on the address.
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
                self.shared.pool.close(Some(Instant::now() + LAST_WORDS));
            }
        }
        Ok(())
    }

    /// Accepts clients until the server is to stop, and then those that have connected by then.
    fn accept_all(&self, listener: &ListeningSocket, refused: &mut Refused) -> io::Result<()> {
        loop {
            let [is_stopped, has_connected] = refused.wait([self.stopped.as_fd(), listener.as_fd()])?;
            if is_stopped {
                accept_waiting(listener, |client| self.admit(client, refused));
                return Ok(());
            }
            if has_connected && self.accept(listener, refused)? == Accepted::Shortage {
                wait(&mut [PollFd::new(&self.stopped, PollFlags::IN)], Some(SHORTAGE))?;
            }
        }
    }

    /// Accepts a client.
    fn accept(&self, listener: &ListeningSocket, refused: &mut Refused) -> io::Result<Accepted> {
        let (socket, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if is_timeout(&error) => return Ok(Accepted::Nothing),
            // The client has gone.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => return Ok(Accepted::Client),
            Err(error) => return accept_failure(&error).map_or(Ok(Accepted::Shortage), Err),
        };
        self.admit((socket, peer.as_socket()), refused);
        Ok(Accepted::Client)
    }

    /// Hands a client to a thread, or refuses it.
    fn admit(&self, (socket, peer): Client, refused: &mut Refused) {
        let settings = &self.shared.server.settings;
        // It fails for a Unix-domain socket, which needs it not, and, as the next may, for a client that has gone
        // already.
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
        // To a client that expects TLS, an answer in plain text would say nothing.
        if self.shared.server.tls_config.is_none() {
            refused.add(socket);
        }
        let error = "the server has as many connections as it may";
        self.shared.server.reporter.report(ConnectionErrorKind::Refused, Some(&origin), error);
    }
}

impl Drop for Listener {
    /// Closes a listening socket that no thread serves, and lets idle threads end.
    fn drop(&mut self) {
        self.shared.drop_listener();
        self.shared.pool.close(Some(Instant::now()));
    }
}

/// Clients that were answered with 503 and have not closed yet. Were their sockets closed at once, a reset
/// might overtake the answer.
#[derive(Default)]
struct Refused(Vec<(Arc<Socket>, Instant)>);

impl Refused {
    /// How many to wait for, and how long.
    const MOST: usize = 64;
    const PATIENCE: Duration = Duration::from_secs(1);

    fn add(&mut self, socket: Arc<Socket>) {
        let response = Response::new(503)
            .header("Retry-After", "5")
            .text("The server is busy; try again later.\n")
            .to_bytes();
        let written = socket.write_all(&mut &response[..], Some(Duration::ZERO), None);
        socket.shutdown(Shutdown::Write);
        if matches!(written, Ok(true)) && self.0.len() < Self::MOST {
            self.0.push((socket, Instant::now() + Self::PATIENCE));
        }
    }

    /// Waits until one of these can be read, and returns which. Meanwhile, drops what refused clients send, and those
    /// that have closed or had time enough.
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

    /// Waits until all have closed or had time enough.
    fn finish(mut self) -> io::Result<()> {
        while !self.0.is_empty() {
            self.wait([])?;
        }
        Ok(())
    }
}
