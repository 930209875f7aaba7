use std::{
    fmt,
    future::poll_fn,
    io::{self, ErrorKind},
    mem,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use async_executor::Executor;
use async_io::{Async, Timer};
use futures_lite::{FutureExt as _, future};
use slab::Slab;
use ws_core::{CloseCode, Response};
use ws_sessions::{ConnectionErrorKind, Origin, Panicked, guard};
use ws_transport::{Clock, Error};

use super::{Server, connection};
use crate::{
    duplex::Duplex,
    opening::Opening,
    socket::{Socket, Sockets, accept, prepare_listener},
    stream::Stream,
};

/// How long to leave the listener alone when the process is out of file descriptors or memory.
const SHORTAGE: Duration = Duration::from_millis(50);
/// How long connections have to notice that they were broken off.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How many refused clients are answered at a time, and how long each has to take its answer.
const MOST_REFUSED: usize = 64;
const REFUSED_PATIENCE: Duration = Duration::from_secs(1);

/// How many clients are accepted before the others get their turn.
const ACCEPTED_IN_TURN: usize = 16;

/// A [`Server`] that listens.
#[derive(Debug)]
pub struct Listener {
    listener: Async<socket2::Socket>,
    shared: Arc<Shared>,
}

/// Where connections run.
enum Executors<'s> {
    /// On an executor of the application's, on any threads.
    Elsewhere(&'s super::Spawner),
    /// Where [`Listener::serve`] is polled, which is told of all their sockets together.
    Here(&'s Executor<'static>, Sockets),
}

/// What the listener, its connections and its handles share.
struct Shared {
    server: Server,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    begun: Slab<Entry>,
    refused: usize,
    /// Set when the server is to stop: when all must have ended.
    stop_by: Option<Instant>,
    /// Whether some had not, and were broken off.
    broken_off: bool,
    /// Who waits for one of these to change.
    waiting: Vec<Waker>,
}

/// A connection, and what it is driven by once its opening handshake is done.
struct Entry {
    cancel: Arc<Cancel>,
    duplex: Option<Weak<Duplex>>,
}

/// The end of a connection's task from outside.
#[derive(Default)]
struct Cancel {
    cancelled: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Listener {
    pub(super) fn new(server: Server, listener: socket2::Socket) -> Result<Self, Error> {
        prepare_listener(&listener, server.settings.listen.nodelay);
        server.settings.listen.prepare(&listener);
        let listener = Async::new(listener)?;
        Ok(Self { listener, shared: Arc::new(Shared { server, connections: Mutex::default() }) })
    }

    /// The address that is listened on, with the port that was chosen.
    ///
    /// # Errors
    ///
    /// It is a path, or the operating system does not tell.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        let address = self.listener.get_ref().local_addr()?.as_socket();
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
    /// The operating system cannot wait for connections any more.
    pub async fn serve(self) -> Result<(), Error> {
        let executor = Executor::new();
        let executors = match &self.shared.server.spawner {
            Some(spawn) => Executors::Elsewhere(spawn),
            None => Executors::Here(&executor, Sockets::new()?),
        };
        let serve = async {
            future::or(self.accept_all(&executors), self.shared.stopped()).await;
            let stop_by = self.shared.connections().stop_by.unwrap_or_else(Instant::now);
            self.shared.end_all(stop_by).await;
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

    async fn accept_all(&self, executor: &Executors<'_>) {
        let mut accepted = 0;
        loop {
            match accept(self.listener.get_ref(), self.shared.server.settings.listen.nodelay) {
                Ok((socket, peer)) => {
                    self.admit(socket, peer, executor);
                    accepted += 1;
                    if accepted % ACCEPTED_IN_TURN == 0 {
                        future::yield_now().await;
                    }
                }
                // Waits alone, so that nobody asks for clients whenever anything happens to a connection.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.listener.readable().await.is_err() {
                        Timer::after(SHORTAGE).await;
                    }
                }
                // The client has gone, or descriptors or memory are short, which passes.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(_) => {
                    Timer::after(SHORTAGE).await;
                }
            }
        }
    }

    /// Hands a client to a task, or refuses it.
    fn admit(&self, socket: socket2::Socket, peer: Option<SocketAddr>, executor: &Executors<'_>) {
        let watched = match executor {
            Executors::Elsewhere(_) => Async::new(socket).map(Socket::Single),
            Executors::Here(_, sockets) => sockets.watch(socket),
        };
        let Ok(stream) = watched.map(Stream::Socket) else { return };
        let task: super::Task = match self.shared.register(peer) {
            Place::Served(registration) => Box::pin(serve(registration, stream, peer)),
            Place::Refused(refusal) => Box::pin(refuse(refusal, stream)),
            Place::None => return,
        };
        match executor {
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

/// Serves a connection until it ends or is cancelled.
async fn serve(registration: Registration, stream: Stream, peer: Option<SocketAddr>) {
    let server = &registration.shared.server;
    let serve = connection::serve(server, stream, peer, &registration);
    let serve = AssertUnwindSafe(future::or(serve, registration.cancelled()));
    // Handlers are guarded there. This is for what they leave behind: a destructor that panics, for example, must not
    // end the executor that runs the other connections.
    if let Err(payload) = serve.catch_unwind().await {
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
    Opening::new(stream, Clock::start(), None).respond(&response, REFUSED_PATIENCE).await;
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
    pub async fn stop(&self, timeout: Duration) -> bool {
        let stop_by = Instant::now() + timeout;
        let (entries, waiting) = {
            let mut connections = self.shared.connections();
            connections.stop_by = Some(stop_by);
            (connections.entries(), connections.changed())
        };
        waiting.into_iter().for_each(Waker::wake);
        for (cancel, duplex) in entries {
            match duplex {
                // It cannot fail: this code and reason can be sent.
                Some(duplex) => drop(duplex.begin_close(CloseCode::GOING_AWAY, "the server stops")),
                None => cancel.cancel(),
            }
        }
        self.shared.end_all(stop_by).await
    }

    /// How many connections there are, handshakes included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections().begun.len()
    }
}

/// What becomes of a client that has connected.
enum Place {
    Served(Registration),
    /// There is no place. The client is told so.
    Refused(Refusal),
    None,
}

/// A place among the clients that are told that there is none, given back when dropped.
struct Refusal(Arc<Shared>);

impl Drop for Refusal {
    fn drop(&mut self) {
        self.0.connections().refused -= 1;
    }
}

impl Shared {
    /// Notes a connection, so that it can be stopped.
    fn register(self: &Arc<Self>, peer: Option<SocketAddr>) -> Place {
        let mut connections = self.connections();
        if connections.stop_by.is_some() {
            return Place::None;
        }
        if connections.begun.len() < self.server.settings.max_connections {
            let cancel = Arc::new(Cancel::default());
            let id = connections.begun.insert(Entry { cancel: cancel.clone(), duplex: None });
            self.server.reporter.monitor().count_begun();
            return Place::Served(Registration { id, cancel, shared: self.clone() });
        }
        // To a client that expects TLS, an answer in plain text would say nothing.
        let answer = connections.refused < MOST_REFUSED && self.server.tls_config.is_none();
        connections.refused += usize::from(answer);
        drop(connections);
        let place = if answer { Place::Refused(Refusal(self.clone())) } else { Place::None };
        let origin = Origin { peer_addr: peer, path: None };
        let error = "the server has as many connections as it may";
        self.server.reporter.report(ConnectionErrorKind::Refused, Some(&origin), error);
        place
    }

    /// Waits for all connections to end, and ends those that have not by the deadline.
    async fn end_all(&self, deadline: Instant) -> bool {
        let all_ended = self.until(|connections| connections.begun.is_empty());
        let in_time = future::or(
            async {
                all_ended.await;
                true
            },
            async {
                Timer::at(deadline).await;
                false
            },
        )
        .await;
        if !in_time {
            let entries = {
                let mut connections = self.connections();
                connections.broken_off |= !connections.begun.is_empty();
                connections.entries()
            };
            for (cancel, duplex) in entries {
                cancel.cancel();
                if let Some(duplex) = duplex {
                    duplex.abandon();
                }
            }
            let all_ended = self.until(|connections| connections.begun.is_empty());
            future::or(all_ended, async {
                Timer::after(LAST_WORDS).await;
            })
            .await;
        }
        // Both a handle and the listener wait here; the other may have been quicker.
        !self.connections().broken_off
    }

    /// Waits until something is so about the connections.
    async fn until(&self, mut is_so: impl FnMut(&Connections) -> bool) {
        poll_fn(|cx| {
            let mut connections = self.connections();
            if is_so(&connections) {
                return Poll::Ready(());
            }
            if !connections.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                connections.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    async fn stopped(&self) {
        self.until(|connections| connections.stop_by.is_some()).await;
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    fn entries(&self) -> Vec<(Arc<Cancel>, Option<Arc<Duplex>>)> {
        let duplex = |entry: &Entry| entry.duplex.as_ref().and_then(Weak::upgrade);
        self.begun.iter().map(|(_, entry)| (entry.cancel.clone(), duplex(entry))).collect()
    }

    /// Returns the wakers of the tasks that wait for a change, to be woken without the lock.
    #[must_use]
    fn changed(&mut self) -> Vec<Waker> {
        mem::take(&mut self.waiting)
    }
}

impl Cancel {
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let task = self.task().take();
        if let Some(task) = task {
            task.wake();
        }
    }

    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("server", &self.server).finish_non_exhaustive()
    }
}

/// A connection's place among those that are stopped with the server; given up when dropped.
pub(super) struct Registration {
    id: usize,
    cancel: Arc<Cancel>,
    shared: Arc<Shared>,
}

impl Registration {
    /// Tells that the opening handshake is done; and whether that still has a point.
    pub(super) fn opened(&self, duplex: &Arc<Duplex>) -> bool {
        let mut connections = self.shared.connections();
        if let Some(entry) = connections.begun.get_mut(self.id) {
            entry.duplex = Some(Arc::downgrade(duplex));
        }
        connections.stop_by.is_none()
    }

    /// Waits for the end that comes from outside.
    async fn cancelled(&self) {
        let mut known: Option<Waker> = None;
        poll_fn(|cx| {
            if !known.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                known = Some(cx.waker().clone());
                *self.cancel.task() = Some(cx.waker().clone());
            }
            // After the waker is there to be woken.
            if self.cancel.cancelled.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.server.reporter.monitor().count_ended();
        let mut connections = self.shared.connections();
        connections.begun.remove(self.id);
        let waiting = if connections.stop_by.is_some() { connections.changed() } else { Vec::new() };
        drop(connections);
        waiting.into_iter().for_each(Waker::wake);
    }
}
