use std::{
    future::poll_fn,
    io::{self, ErrorKind},
    net::SocketAddr,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use async_executor::Executor;
use async_io::{Async, Timer};
use bytes::Buf as _;
use futures_lite::{Future as _, FutureExt as _, future};
use ws_core::Response;
use ws_sessions::{ConnectionErrorKind, Origin, Panicked, guard};
use ws_transport::{
    Clock, ConnectionSpan, Error, ListeningSocket, SpareDescriptor, accept_failure, is_descriptor_shortage,
    work,
};

use super::{
    BoundServer, ServerHandle, connection,
    shared::{AcceptedClient, Place, RefusalSlot, Registration, Shared},
};
use crate::{
    current,
    opening::{Opening, ResponseTimeouts},
    socket::{Socket, Sockets, prepare_listener},
    stream::Stream,
    turns::Turns,
};

/// Pause in accepting when the process has run out of file descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Time for aborted connections to notice the end, and for refused clients to read their response.
const ABORT_GRACE: Duration = Duration::from_secs(1);
/// Time for each refused client to read its response.
const REFUSED_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Number of clients that are accepted before other tasks run.
const ACCEPTED_IN_TURN: usize = 16;

/// A [`Server`](super::Server) that listens on an address.
#[derive(Debug)]
pub struct Listener {
    local_addrs: Vec<SocketAddr>,
    shared: Arc<Shared>,
}

/// Place where connections run.
enum Executors<'s> {
    /// An executor of the application, on any thread.
    Elsewhere(&'s super::Spawner),
    /// The task that polls [`Listener::serve`]. It watches all sockets together.
    Here(&'s Executor<'static>, Sockets),
}

impl Listener {
    pub(super) fn new(server: BoundServer, listeners: Vec<ListeningSocket>) -> Result<Self, Error> {
        let mut local_addrs = Vec::new();
        for listener in &listeners {
            prepare_listener(listener, server.settings.listen.nodelay);
            server.settings.listen.prepare(listener);
            local_addrs.extend(listener.address()?);
        }
        let listeners = listeners.into_iter().map(Async::new).collect::<Result<_, _>>()?;
        server.reporter.started(&local_addrs);
        Ok(Self { local_addrs, shared: Arc::new(Shared::new(server, listeners)) })
    }

    /// Returns the first address that the server listens on, including the port that was chosen for port 0. The port is
    /// the same for all [`local_addrs`](Self::local_addrs).
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if the address is a path.
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

    /// Creates a handle that stops the server.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { shared: self.shared.clone() }
    }

    /// Serves clients until the server is [stopped](ServerHandle::stop) and the connections have ended.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if clients cannot connect any more, for example because another process has shut down
    /// the listening socket.
    pub async fn serve(self) -> Result<(), Error> {
        let executor = Executor::new();
        let executors = match &self.shared.server.spawner {
            Some(spawn) => Executors::Elsewhere(spawn),
            None => Executors::Here(&executor, Sockets::new()?),
        };
        let serve = async {
            let stopped = async {
                self.shared.stopped().await;
                Ok(())
            };
            future::or(self.accept_all(&executors), stopped).await?;
            for client in self.shared.take_late_clients() {
                self.admit(client, &executors);
            }
            let stop = self.shared.stopped().await;
            self.shared.end_all(stop).await;
            self.shared.wait_until_quiet(ABORT_GRACE).await;
            self.shared.server.reporter.stopped();
            Ok(())
        };
        let served = match &executors {
            Executors::Elsewhere(_) => serve.await,
            Executors::Here(executor, sockets) => {
                // Run the driver as one of the connection tasks. After it has woken some of them, they run before its
                // next turn.
                let driver = executor.spawn(sockets.driver());
                future::or(serve, future::or(driver, run(executor, sockets))).await
            }
        };
        Ok(served?)
    }

    /// Accepts clients until the server stops.
    async fn accept_all(&self, executors: &Executors<'_>) -> io::Result<()> {
        let mut spare = SpareDescriptor::new();
        let mut accepted = 0;
        while let Some(client) = poll_fn(|cx| self.shared.listeners.poll_accept(cx)).await {
            match client {
                Ok(client) => {
                    spare.renew();
                    self.admit(client, executors);
                }
                Err(error) if is_descriptor_shortage(&error) => {
                    if let Err(error) = self.refuse_with(&mut spare) {
                        pause_after(&error).await?;
                    }
                }
                Err(error) => pause_after(&error).await?,
            }
            accepted += 1;
            if accepted % ACCEPTED_IN_TURN == 0 {
                future::yield_now().await;
            }
        }
        Ok(())
    }

    /// Refuses a client in a shortage of file descriptors.
    fn refuse_with(&self, spare: &mut SpareDescriptor) -> io::Result<()> {
        let BoundServer { gate, reporter, router, tls_config, .. } = &self.shared.server;
        let (socket, peer) = self.shared.listeners.accept_with(spare)?;
        let response = gate.refuse_in_shortage(peer, reporter);
        let response = reporter.refuse(router, None, response);
        // A client that expects TLS cannot read a plain-text response.
        spare.refuse(socket, if tls_config.is_none() { response.chunk() } else { &[] });
        Ok(())
    }

    /// Starts a task for a client, or refuses the client.
    fn admit(&self, (socket, peer): AcceptedClient, executors: &Executors<'_>) {
        if let Err(error) = self.shared.server.settings.listen.socket.run_hook(&socket) {
            return self.shared.server.reporter.report_unconfigured(peer, &error);
        }
        let watch = |socket| {
            let watched = match executors {
                Executors::Elsewhere(_) => Async::new(socket).map(Socket::from),
                Executors::Here(_, sockets) => sockets.watch(socket),
            };
            watched.map(Stream::Socket)
        };
        let task: super::Task = match self.shared.register(peer) {
            Place::Served(registration) => match watch(socket) {
                Ok(stream) => Box::pin(serve(registration, stream, peer)),
                Err(_) => return,
            },
            Place::Refused(refusal, response) => match watch(socket) {
                Ok(stream) => Box::pin(refuse(refusal, response, stream)),
                Err(_) => return,
            },
            Place::Dismissed(response) => {
                let BoundServer { reporter, router, .. } = &self.shared.server;
                return ws_transport::dismiss(&socket, reporter.refuse(router, None, response).chunk());
            }
            Place::None => return,
        };
        match executors {
            Executors::Elsewhere(spawn) => {
                // If the spawner drops the task, the task releases its place.
                if let Err(panicked) = guard(|| spawn(task)) {
                    self.shared.server.reporter.report(ConnectionErrorKind::Panic, None, panicked);
                }
            }
            Executors::Here(executor, _) => executor.spawn(task).detach(),
        }
    }
}

impl Drop for Listener {
    /// Closes the listening socket, because no task serves it any more. Handles may outlive the listener.
    fn drop(&mut self) {
        self.shared.listeners.close();
    }
}

/// Serves a connection until it ends or is cancelled.
pub(super) async fn serve(registration: Registration, stream: Stream, peer: Option<SocketAddr>) {
    let (server, key) = (registration.server(), registration.key());
    let span = ConnectionSpan::server(peer);
    let served = async {
        let serve = connection::serve(server, stream, peer, &registration);
        let mut serve = pin!(future::or(serve, registration.signals().cancelled()));
        poll_fn(|cx| span.in_scope(|| current::within(key, || serve.as_mut().poll(cx)))).await;
    };
    // `connection::serve` catches panics of handlers. This catches later panics, for example of a destructor, which
    // would end the executor that runs the other connections.
    if let Err(payload) = AssertUnwindSafe(served).catch_unwind().await {
        let origin = Origin { peer_addr: peer, path: None };
        server.reporter.report(ConnectionErrorKind::Panic, Some(&origin), Panicked::new(&*payload));
    }
}

/// Waits for the end of a shortage of file descriptors or memory. Returns the error if the socket does not listen any
/// more.
async fn pause_after(error: &io::Error) -> io::Result<()> {
    // The client has disconnected, or none waits.
    if !matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::WouldBlock) {
        accept_failure(error).map_or(Ok(()), Err)?;
        Timer::after(ACCEPT_BACKOFF).await;
    }
    Ok(())
}

/// Sends a response to a refused client.
pub(super) async fn refuse(refusal: RefusalSlot, response: Response, stream: Stream) {
    answer_refused(refusal.server(), response, stream, || true).await;
}

/// Sends a response to a refused client of a stream, and does not wait until it is read.
pub(super) async fn dismiss(server: &BoundServer, response: Response, stream: Stream) {
    answer_refused(server, response, stream, || false).await;
}

async fn answer_refused(
    server: &BoundServer,
    response: Response,
    stream: Stream,
    linger: impl FnOnce() -> bool,
) {
    let response = server.reporter.refuse(&server.router, None, response);
    let timeouts = ResponseTimeouts { close: REFUSED_CLOSE_TIMEOUT, write: None };
    Opening::new(stream, None, Clock::start(), None).respond_short(response, timeouts, linger).await;
}

/// Runs connections, and yields to other futures of the same thread every millisecond. Therefore busy connections cannot
/// starve them. The clock is read after each task, because one task can take long.
async fn run<T>(executor: &Executor<'_>, sockets: &Sockets) -> T {
    const TIME: Duration = Duration::from_millis(1);
    let mut turns = Turns::default();
    let mut resumed = Instant::now();
    loop {
        let mut now = Instant::now();
        let until = now + TIME;
        while now < until {
            work::begin_turn(Some(now));
            let has_run = turns.run(|| executor.try_tick());
            if !turns.is_empty() && (!has_run || now.saturating_duration_since(resumed) >= TIME) {
                // Sockets that have become ready meanwhile come first.
                if !sockets.wake_ready() || has_run {
                    turns.resume_one();
                    resumed = now;
                }
            } else if !has_run {
                // The next task can take a while to come, which is not part of its turn.
                work::begin_turn(None);
                let mut tick = pin!(executor.tick());
                poll_fn(|cx| turns.run(|| tick.as_mut().poll(cx))).await;
            }
            now = Instant::now();
        }
        future::yield_now().await;
    }
}
