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
use futures_lite::{Future as _, FutureExt as _, future};
use ws_core::Response;
use ws_sessions::{ConnectionErrorKind, Origin, Panicked, guard};
use ws_transport::{Clock, ConnectionSpan, Error, ListeningSocket, accept_failure, work};

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
    local_addr: Option<SocketAddr>,
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
    pub(super) fn new(server: BoundServer, listener: ListeningSocket) -> Result<Self, Error> {
        prepare_listener(&listener, server.settings.listen.nodelay);
        server.settings.listen.prepare(&listener);
        let local_addr = listener.address()?;
        let listener = Async::new(listener)?;
        server.reporter.started(local_addr);
        Ok(Self { local_addr, shared: Arc::new(Shared::new(server, listener)) })
    }

    /// Returns the address that the server listens on, including the port that was chosen for port 0.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if the address is a path.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        let no_port = || io::Error::new(ErrorKind::Unsupported, "a Unix-domain socket has no port");
        Ok(self.local_addr.ok_or_else(no_port)?)
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
        let (mut accepted, mut is_waiting) = (0, false);
        while let Some(client) = poll_fn(|cx| self.shared.poll_accept(cx, &mut is_waiting)).await {
            match client {
                Ok(client) => {
                    self.admit(client, executors);
                    accepted += 1;
                    if accepted % ACCEPTED_IN_TURN == 0 {
                        future::yield_now().await;
                    }
                }
                // The client has disconnected. The next arm waits for the end of a shortage of file descriptors or
                // memory.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    accept_failure(&error).map_or(Ok(()), Err)?;
                    Timer::after(ACCEPT_BACKOFF).await;
                }
            }
        }
        Ok(())
    }

    /// Starts a task for a client, or refuses the client.
    fn admit(&self, (socket, peer): AcceptedClient, executors: &Executors<'_>) {
        if let Err(error) = self.shared.server.settings.listen.socket.run_hook(&socket) {
            return self.shared.server.reporter.report_unconfigured(peer, &error);
        }
        let watched = match executors {
            Executors::Elsewhere(_) => Async::new(socket).map(Socket::from),
            Executors::Here(_, sockets) => sockets.watch(socket),
        };
        let Ok(stream) = watched.map(Stream::Socket) else { return };
        let task: super::Task = match self.shared.register(peer) {
            Place::Served(registration) => Box::pin(serve(registration, stream, peer)),
            Place::Refused(refusal) => Box::pin(refuse(refusal, stream)),
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
        self.shared.drop_listener();
    }
}

/// Serves a connection until it ends or is cancelled.
async fn serve(registration: Registration, stream: Stream, peer: Option<SocketAddr>) {
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

/// Sends a 503 response to a client that exceeds the connection limit.
async fn refuse(_refusal: RefusalSlot, stream: Stream) {
    let response = Response::new(503)
        .header("Retry-After", "5")
        .text("The server is busy; try again later.\n")
        .to_bytes();
    let timeouts = ResponseTimeouts { close: REFUSED_CLOSE_TIMEOUT, write: None };
    Opening::new(stream, None, Clock::start(), None).respond_short(response, timeouts).await;
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
