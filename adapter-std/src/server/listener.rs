use std::{
    collections::HashMap,
    fmt,
    io::{self, ErrorKind, Write as _},
    net::{Shutdown, SocketAddr},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags};
use ws_core::{CloseCode, Response};
use ws_sessions::{ConnectionErrorKind, Origin};
use ws_transport::Error;

use super::{Server, connection, pool::Pool};
use crate::{
    duplex::Duplex,
    socket::{ReadTimeout, Socket, is_timeout, wait},
};

/// How long to leave the listener alone when the process is out of file descriptors or memory.
const SHORTAGE: Duration = Duration::from_millis(50);
/// How long threads have to notice that their connections were broken off.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A [`Server`] that listens.
#[derive(Debug)]
pub struct Listener {
    listener: socket2::Socket,
    /// Readable when the server is to stop.
    stopped: UnixStream,
    shared: Arc<Shared>,
}

/// What the listener, its connections and its handles share.
struct Shared {
    server: Server,
    pool: Arc<Pool>,
    connections: Mutex<Connections>,
    stop: UnixStream,
}

#[derive(Default)]
struct Connections {
    next_id: u64,
    by_id: HashMap<u64, Entry>,
    /// Set when the server is to stop: when all must have ended.
    stop_by: Option<Instant>,
    /// Whether some had not, and were broken off.
    broken_off: bool,
}

/// A connection, and what it is driven by once its opening handshake is done.
struct Entry {
    socket: Arc<Socket>,
    duplex: Weak<Duplex>,
}

impl Listener {
    pub(super) fn new(server: Server, listener: socket2::Socket) -> Result<Self, Error> {
        // The wait before `accept` can be in vain, if the client changes its mind in between.
        listener.set_nonblocking(true)?;
        server.settings.listen.prepare(&listener);
        let (stop, stopped) = UnixStream::pair()?;
        let pool = Pool::new(&server.settings.threads);
        let shared = Arc::new(Shared { server, pool, connections: Mutex::default(), stop });
        Ok(Self { listener, stopped, shared })
    }

    /// The address that is listened on, with the port that was chosen.
    ///
    /// # Errors
    ///
    /// It is a path, or the operating system does not tell.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        let address = self.listener.local_addr()?.as_socket();
        Ok(address
            .ok_or_else(|| io::Error::new(ErrorKind::Unsupported, "a Unix-domain socket has no port"))?)
    }

    /// A handle to stop the server with.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: self.shared.clone() }
    }

    /// Serves clients until [`Handle::stop`] is called and the connections have ended.
    ///
    /// # Errors
    ///
    /// The operating system cannot wait for connections any more, or start the least
    /// [`threads`](Server::threads).
    pub fn serve(self) -> Result<(), Error> {
        self.shared.pool.start()?;
        let mut refused = Refused::default();
        loop {
            let mut fds =
                vec![PollFd::new(&self.stopped, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
            fds.extend(refused.0.iter().map(|(socket, _)| PollFd::new(&**socket, PollFlags::IN)));
            let next = refused.0.iter().map(|&(_, deadline)| deadline).min();
            wait(&mut fds, next.map(|deadline| deadline.saturating_duration_since(Instant::now())))?;
            if !fds[0].revents().is_empty() {
                break;
            }
            let connected = !fds[1].revents().is_empty();
            let readable = fds[2..].iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>();
            refused.turn(&readable);
            if connected {
                self.accept(&mut refused)?;
            }
        }
        let deadline = self.shared.connections().stop_by.unwrap_or_else(Instant::now);
        self.shared.end_all(deadline);
        Ok(())
    }

    /// Accepts a client and hands it to a thread, or refuses it.
    fn accept(&self, refused: &mut Refused) -> io::Result<()> {
        let socket = match self.listener.accept() {
            Ok((socket, _)) => socket,
            // The client has gone, or descriptors or memory are short, which passes.
            Err(error) if is_timeout(&error) || error.kind() == ErrorKind::ConnectionAborted => return Ok(()),
            Err(_) => return wait(&mut [PollFd::new(&self.stopped, PollFlags::IN)], Some(SHORTAGE)),
        };
        let settings = &self.shared.server.settings;
        // It fails for a Unix-domain socket, which needs it not, and, as the next may, for a client that has gone
        // already.
        let _ = socket.set_tcp_nodelay(settings.listen.nodelay);
        let Ok(socket) = Socket::new(socket).map(Arc::new) else { return Ok(()) };
        let (shared, served) = (self.shared.clone(), socket.clone());
        let run = self.shared.pool.run(move || {
            if let Some(registration) = shared.register(&served) {
                connection::serve(&shared.server, served, &registration);
            }
        });
        if run.is_err() {
            let origin = Origin { peer_addr: socket.peer_addr(), path: None };
            let error = "the server has as many connections as it may";
            self.shared.server.reporter.report(ConnectionErrorKind::Refused, Some(&origin), error);
        }
        // To a client that expects TLS, an answer in plain text would say nothing.
        if run.is_err() && self.shared.server.tls_config.is_none() {
            refused.add(socket);
        }
        Ok(())
    }
}

/// Stops a server.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Stops the server: accepts no more clients, closes every connection with 1001 (going away) and waits
    /// for all handlers to return. What has not ended after `timeout` is broken off. Tells whether that
    /// was not necessary.
    ///
    /// A handler notices when it receives or sends.
    pub fn stop(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let entries = {
            let mut connections = self.shared.connections();
            connections.stop_by = Some(deadline);
            connections.entries()
        };
        // It fails when nobody serves, or the end of that was told before.
        let _ = (&self.shared.stop).write(&[1]);
        for (socket, duplex) in entries {
            match duplex {
                // It cannot fail: this code and reason can be sent.
                Some(duplex) => drop(duplex.close_without_waiting(CloseCode::GOING_AWAY, "the server stops")),
                None => socket.shutdown(Shutdown::Both),
            }
        }
        self.shared.end_all(deadline)
    }

    /// How many connections there are, handshakes included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections().by_id.len()
    }
}

impl Shared {
    /// Notes a connection, so that it can be stopped; `None` if the server has stopped already.
    fn register(self: &Arc<Self>, socket: &Arc<Socket>) -> Option<Registration> {
        let mut connections = self.connections();
        if connections.stop_by.is_some() {
            return None;
        }
        let id = connections.next_id;
        connections.next_id += 1;
        connections.by_id.insert(id, Entry { socket: socket.clone(), duplex: Weak::new() });
        self.server.reporter.monitor().count_begun();
        Some(Registration { id, shared: self.clone() })
    }

    /// Waits for all connections to end, and ends those that have not by the deadline.
    fn end_all(&self, deadline: Instant) -> bool {
        if !self.pool.close(deadline) {
            let entries = {
                let mut connections = self.connections();
                connections.broken_off = true;
                connections.entries()
            };
            for (socket, _) in entries {
                socket.shutdown(Shutdown::Both);
            }
            self.pool.close(Instant::now() + LAST_WORDS);
        }
        // Both a handle and the listener wait here; the other may have been quicker.
        !self.connections().broken_off
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    fn entries(&self) -> Vec<(Arc<Socket>, Option<Arc<Duplex>>)> {
        self.by_id.values().map(|entry| (entry.socket.clone(), entry.duplex.upgrade())).collect()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("server", &self.server)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// A connection's place among those that are stopped with the server; given up when dropped.
pub(super) struct Registration {
    id: u64,
    shared: Arc<Shared>,
}

impl Registration {
    /// Tells that the opening handshake is done; and whether that still has a point.
    pub(super) fn opened(&self, duplex: &Arc<Duplex>) -> bool {
        let mut connections = self.shared.connections();
        if let Some(entry) = connections.by_id.get_mut(&self.id) {
            entry.duplex = Arc::downgrade(duplex);
        }
        connections.stop_by.is_none()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.connections().by_id.remove(&self.id);
        self.shared.server.reporter.monitor().count_ended();
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
        let written = socket.write_all(&mut &response[..], Some(Duration::ZERO));
        socket.shutdown(Shutdown::Write);
        if matches!(written, Ok(true)) && self.0.len() < Self::MOST {
            self.0.push((socket, Instant::now() + Self::PATIENCE));
        }
    }

    /// Drops what the clients sent, and those that have closed or had time enough.
    fn turn(&mut self, readable: &[bool]) {
        let now = Instant::now();
        let mut readable = readable.iter();
        self.0.retain(|(socket, deadline)| {
            let ended = *readable.next().unwrap_or(&false)
                && !matches!(socket.read(&mut [0; 4096], None, &mut ReadTimeout::default()), Ok(Some(1..)));
            !ended && now < *deadline
        });
    }
}
