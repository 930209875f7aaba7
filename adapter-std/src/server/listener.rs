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

use bytes::Buf as _;
use rustix::event::{PollFd, PollFlags};
use ws_core::{Response, Transmit};
use ws_transport::{
    AdmittedClient, Error, ListeningSocket, SpareDescriptor, accept_failure, is_descriptor_shortage,
};

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
    local_addrs: Vec<SocketAddr>,
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
    pub(super) fn new(server: BoundServer, listeners: Vec<ListeningSocket>) -> Result<Self, Error> {
        let mut local_addrs = Vec::new();
        for listener in &listeners {
            // Non-blocking: a client may disconnect between the wait and `accept`.
            listener.set_nonblocking(true)?;
            server.settings.listen.prepare(listener);
            local_addrs.extend(listener.address()?);
        }
        let (wake, stopped) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        server.reporter.started(&local_addrs);
        Ok(Self { local_addrs, stopped, shared: Arc::new(Shared::new(server, listeners, wake)) })
    }

    /// Returns the first address that the server listens on. If the port was 0, it contains the assigned port, which is
    /// the same for all [`local_addrs`](Self::local_addrs).
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] for a Unix-domain socket.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        let no_port = || io::Error::new(ErrorKind::Unsupported, "a Unix-domain socket has no port");
        Ok(self.local_addrs.first().copied().ok_or_else(no_port)?)
    }

    /// Returns all addresses that the server listens on, in the order of the name resolution. A name such as `localhost`
    /// may have several. The list is empty for a Unix-domain socket.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Returns the maximum number of connections. If [`max_connections`](super::Server::max_connections) is not set, it
    /// depends on the file descriptors that the process may open.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.shared.server.gate.admission().max_connections()
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
        if let Some(listeners) = self.shared.begin_accepting() {
            let accepted = self.accept_all(&listeners, &mut refused);
            // Close the sockets before the stop continues, so that another server can listen on the address.
            drop(listeners);
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
    fn accept_all(&self, listeners: &[ListeningSocket], refused: &mut Refused) -> io::Result<()> {
        let mut spare = SpareDescriptor::new();
        loop {
            let sources =
                [self.stopped.as_fd()].into_iter().chain(listeners.iter().map(ListeningSocket::as_fd));
            let is_readable = refused.wait(sources)?;
            if is_readable[0] {
                accept_waiting(listeners, |client| self.admit(client, refused));
                return Ok(());
            }
            let mut is_short = false;
            for (listener, _) in
                listeners.iter().zip(&is_readable[1..]).filter(|(_, has_connected)| **has_connected)
            {
                is_short |= self.accept(listener, &mut spare, refused)? == Accepted::Shortage;
            }
            if is_short {
                wait(&mut [PollFd::new(&self.stopped, PollFlags::IN)], Some(ACCEPT_BACKOFF))?;
            }
        }
    }

    /// Accepts a client.
    fn accept(
        &self,
        listener: &ListeningSocket,
        spare: &mut SpareDescriptor,
        refused: &mut Refused,
    ) -> io::Result<Accepted> {
        let accept = || listener.accept().map(|(socket, peer)| (socket, peer.as_socket()));
        match accept() {
            Ok(client) => {
                spare.renew();
                self.admit(client, refused);
                return Ok(Accepted::Client);
            }
            Err(error) if !is_descriptor_shortage(&error) => return self.accepted_none(&error),
            Err(_) => {}
        }
        match spare.accept(accept) {
            Ok((socket, peer)) => {
                let server = &self.shared.server;
                let response = server.gate.refuse_in_shortage(peer, &server.reporter);
                let response = self.bytes_of(Some(response)).unwrap_or_default();
                spare.refuse(socket, response.chunk());
                Ok(Accepted::Client)
            }
            Err(error) => self.accepted_none(&error),
        }
    }

    fn accepted_none(&self, error: &io::Error) -> io::Result<Accepted> {
        if is_timeout(error) {
            return Ok(Accepted::Nothing);
        }
        // The client has disconnected.
        if error.kind() == ErrorKind::ConnectionAborted {
            return Ok(Accepted::Client);
        }
        accept_failure(error).map_or(Ok(Accepted::Shortage), Err)
    }

    /// Passes a client to a thread, or refuses it.
    fn admit(&self, (socket, peer): AcceptedClient, refused: &mut Refused) {
        let server = &self.shared.server;
        if let Err(error) = server.settings.listen.socket.run_hook(&socket) {
            return server.reporter.report_unconfigured(peer, &error);
        }
        let admitted = server.gate.admit(peer, &server.reporter);
        // This fails for a Unix-domain socket, which does not need the option. Like the next call, it may also fail
        // for a client that has disconnected.
        let _ = socket.set_tcp_nodelay(server.settings.listen.nodelay);
        let Ok(socket) = Socket::new(socket, peer).map(Arc::new) else { return };
        match admitted {
            Ok(client) => {
                let (shared, served) = (self.shared.clone(), socket.clone());
                let run = self.shared.pool.run(move || {
                    let registration = shared.register(&served, client);
                    connection::serve(&shared.server, served, &registration);
                });
                if run.is_err() {
                    let response = server.gate.refuse_in_shortage(peer, &server.reporter);
                    self.refuse(socket, Some(response), refused);
                }
            }
            Err(response) => self.refuse(socket, response, refused),
        }
    }

    fn refuse(&self, socket: Arc<Socket>, response: Option<Response>, refused: &mut Refused) {
        if let Some(response) = self.bytes_of(response) {
            refused.add(socket, response, self.shared.server.gate.admission().linger());
        }
    }

    /// Returns the bytes of the response to a refused client. `None`: it receives none. A client that expects TLS could
    /// not read a response in plain text.
    fn bytes_of(&self, response: Option<Response>) -> Option<Transmit> {
        let BoundServer { tls_config, reporter, router, .. } = &self.shared.server;
        response.filter(|_| tls_config.is_none()).map(|response| reporter.refuse(router, None, response))
    }
}

impl Drop for Listener {
    /// Closes a listening socket that no thread serves, and ends the idle threads.
    fn drop(&mut self) {
        self.shared.drop_listener();
        self.shared.pool.close(Some(Instant::now()));
    }
}

/// Refused clients that were answered and have not closed yet. If their sockets were closed at once, a reset could
/// overtake the answer.
#[derive(Default)]
struct Refused(Vec<RefusedClient>);

struct RefusedClient {
    socket: Arc<Socket>,
    deadline: Instant,
    _counted: AdmittedClient,
}

impl Refused {
    /// Maximum number of clients to wait for.
    const MAX_CLIENTS: usize = 64;
    /// Maximum time to wait for each of them.
    const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

    /// Answers a client, and waits for its end if it is `counted` and there is room. Otherwise its socket is closed.
    fn add(&mut self, socket: Arc<Socket>, mut response: Transmit, counted: Option<AdmittedClient>) {
        let written = socket.write_all(&mut response, Some(Duration::ZERO), None);
        socket.shutdown(Shutdown::Write);
        if let Some(counted) = counted
            && matches!(written, Ok(true))
            && self.0.len() < Self::MAX_CLIENTS
        {
            let deadline = Instant::now() + Self::CLOSE_TIMEOUT;
            self.0.push(RefusedClient { socket, deadline, _counted: counted });
        }
    }

    /// Waits until one of the sources is readable, and returns for each of them if it is. Meanwhile, drops the input of
    /// refused clients. Forgets clients that have closed or used up their time.
    fn wait<'s>(&mut self, sources: impl Iterator<Item = BorrowedFd<'s>>) -> io::Result<Vec<bool>> {
        let mut fds = sources.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect::<Vec<_>>();
        let count = fds.len();
        fds.extend(self.0.iter().map(|client| PollFd::new(&client.socket, PollFlags::IN)));
        let next = self.0.iter().map(|client| client.deadline).min();
        wait(&mut fds, next.map(|deadline| deadline.saturating_duration_since(Instant::now())))?;
        let mut is_readable = fds.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>();
        let now = Instant::now();
        let mut readable = is_readable.drain(count..).collect::<Vec<_>>().into_iter();
        self.0.retain(|client| {
            let ended = readable.next().unwrap_or(false)
                && !matches!(
                    client.socket.read(&mut [0; 4096], Some(Duration::ZERO), &mut ReadTimeout::default()),
                    Ok(Some(1..))
                );
            !ended && now < client.deadline
        });
        Ok(is_readable)
    }

    /// Waits until all clients have closed or their time is over.
    fn finish(mut self) -> io::Result<()> {
        while !self.0.is_empty() {
            self.wait([].into_iter())?;
        }
        Ok(())
    }
}
