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
use ws_transport::{Clock, Error, ListeningSocket, accept_failure};

use super::{
    BoundServer, Handle, connection,
    shared::{Client, Place, Refusal, Registration, Shared},
};
use crate::{
    current,
    opening::{Opening, ResponseTimeouts},
    socket::{Socket, Sockets, prepare_listener},
    stream::Stream,
};

/// How long to leave the listener alone when the process is out of file descriptors or memory.
const SHORTAGE: Duration = Duration::from_millis(50);
/// How long connections have to notice that they were broken off, and refused clients to take their answer.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long each refused client has to take its answer.
const REFUSED_PATIENCE: Duration = Duration::from_secs(1);
/// How many clients are accepted before the others get their turn.
const ACCEPTED_IN_TURN: usize = 16;

/// A [`Server`](super::Server) that listens.
#[derive(Debug)]
pub struct Listener {
    local_addr: Option<SocketAddr>,
    shared: Arc<Shared>,
}

/// Where connections run.
enum Executors<'s> {
    /// On an executor of the application's, on any threads.
    Elsewhere(&'s super::Spawner),
    /// Where [`Listener::serve`] is polled, which is told of all their sockets together.
    Here(&'s Executor<'static>, Sockets),
}

impl Listener {
    pub(super) fn new(server: BoundServer, listener: ListeningSocket) -> Result<Self, Error> {
        prepare_listener(&listener, server.settings.listen.nodelay);
        server.settings.listen.prepare(&listener);
        let local_addr = listener.address()?;
        let listener = Async::new(listener)?;
        Ok(Self { local_addr, shared: Arc::new(Shared::new(server, listener)) })
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
    /// Returns [`Error::Io`] if no client can connect any more, because another process has shut the listening socket down
    /// for example.
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
            self.shared.is_quiet(LAST_WORDS).await;
            Ok(())
        };
        let served = match &executors {
            Executors::Elsewhere(_) => serve.await,
            Executors::Here(executor, sockets) => {
                // Among the connections: when it has woken some, it is their turn, and then its own again.
                let driver = executor.spawn(sockets.driver());
                future::or(serve, future::or(driver, run(executor))).await
            }
        };
        Ok(served?)
    }

    /// Accepts clients until the server is to stop.
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
                // The client has gone, or descriptors or memory are short, which passes.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    accept_failure(&error).map_or(Ok(()), Err)?;
                    Timer::after(SHORTAGE).await;
                }
            }
        }
        Ok(())
    }

    /// Hands a client to a task, or refuses it.
    fn admit(&self, (socket, peer): Client, executors: &Executors<'_>) {
        let watched = match executors {
            Executors::Elsewhere(_) => Async::new(socket).map(Socket::Single),
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
                // A task that it drops gives its place back.
                if let Err(panicked) = guard(|| spawn(task)) {
                    self.shared.server.reporter.report(ConnectionErrorKind::Panic, None, panicked);
                }
            }
            Executors::Here(executor, _) => executor.spawn(task).detach(),
        }
    }
}

impl Drop for Listener {
    /// Closes a listening socket that no task serves any more. Handles may outlive the listener.
    fn drop(&mut self) {
        self.shared.drop_listener();
    }
}

/// Serves a connection until it ends or is cancelled.
async fn serve(registration: Registration, stream: Stream, peer: Option<SocketAddr>) {
    let (server, key) = (registration.server(), registration.key());
    let served = async {
        let serve = connection::serve(server, stream, peer, &registration);
        let mut serve = pin!(future::or(serve, registration.signals().cancelled()));
        poll_fn(|cx| current::within(key, || serve.as_mut().poll(cx))).await;
    };
    // Handlers are guarded there. This is for what they leave behind: a destructor that panics, for example, must not
    // end the executor that runs the other connections.
    if let Err(payload) = AssertUnwindSafe(served).catch_unwind().await {
        let origin = Origin { peer_addr: peer, path: None };
        server.reporter.report(ConnectionErrorKind::Panic, Some(&origin), Panicked::new(&*payload));
    }
}

/// Answers a client for which there is no place.
async fn refuse(_refusal: Refusal, stream: Stream) {
    let response = Response::new(503)
        .header("Retry-After", "5")
        .text("The server is busy; try again later.\n")
        .to_bytes();
    let timeouts = ResponseTimeouts { close: REFUSED_PATIENCE, write: None };
    Opening::new(stream, None, Clock::start(), None).respond_short(response, timeouts).await;
}

/// Runs connections. Whatever else waits for its turn in the same thread has it after a short time, even if
/// connections always have something to do.
async fn run<T>(executor: &Executor<'_>) -> T {
    const TICKS: usize = 8;
    const TURN: Duration = Duration::from_millis(1);
    loop {
        let began = Instant::now();
        while began.elapsed() < TURN {
            for _ in 0..TICKS {
                executor.tick().await;
            }
        }
        future::yield_now().await;
    }
}
