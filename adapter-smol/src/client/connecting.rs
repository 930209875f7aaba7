//! Carries out the steps of a client that connects: lookups, attempts, and bytes.

use std::{
    future::{Future as _, poll_fn},
    io::{self, IoSlice},
    net::SocketAddr,
    path::Path,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use async_io::Async;
use bytes::Buf as _;
use ws_core::Timestamp;
use ws_transport::{
    ClientOpening, ClientSettings, Clock, ConnectStep, ConnectionSpan, Connector, Error, Lookup, Opened,
    begin_connect, connect_unix,
};

use crate::{lazy_timer::LazyTimer, socket::Socket, stream::Stream};

/// A connection with a complete opening handshake.
pub(crate) struct Open {
    pub(crate) opened: Opened,
    pub(crate) stream: Stream,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) clock: Clock,
}

/// An attempt to connect to one address.
type Attempt = (SocketAddr, Async<socket2::Socket>);

/// Connects to the host of the URL, and follows redirects.
pub(super) async fn connect(settings: ClientSettings) -> Result<Open, Error> {
    let mut connector = Connector::new(settings)?;
    loop {
        let (address, socket) = connect_socket(&mut connector).await?;
        // The peer may have disconnected already. For some addresses, such as 0.0.0.0, the peer's address differs from the
        // requested one.
        let peer = socket.get_ref().peer_addr().ok().and_then(|peer| peer.as_socket()).or(Some(address));
        let stream = Stream::Socket(Socket::from(socket));
        let span = connector.span(peer);
        match exchange_in(&span, connector.open(), stream, peer, connector.clock()).await {
            Ok(open) => return Ok(open),
            Err(error) => connector.redirect(error).inspect_err(|_| span.failed())?,
        }
    }
}

/// Connects to a Unix-domain socket.
pub(super) async fn connect_path(settings: ClientSettings, path: &Path) -> Result<Open, Error> {
    let connector = Connector::over_stream(settings)?;
    let (path, clock, deadline) = (path.to_owned(), connector.clock(), connector.connect_deadline());
    let dropped = Dropped::default();
    let is_dropped = dropped.0.clone();
    // Only a thread can wait for a full backlog: the non-blocking socket would become writable at once.
    let connecting = blocking::unblock(move || {
        let is_late = || deadline.is_some_and(|deadline| deadline <= clock.now());
        connect_unix(&path, || is_late() || is_dropped.load(Ordering::Relaxed))
    });
    let socket = connecting.await?.ok_or_else(|| connector.late())?;
    let stream = Stream::Socket(Socket::from(Async::new(socket)?));
    open_over(&connector, stream).await
}

/// Opens the WebSocket on a stream of the application.
pub(super) async fn connect_over(settings: ClientSettings, stream: Stream) -> Result<Open, Error> {
    open_over(&Connector::over_stream(settings)?, stream).await
}

async fn open_over(connector: &Connector, stream: Stream) -> Result<Open, Error> {
    let span = connector.span(None);
    let opened = exchange_in(&span, connector.open(), stream, None, connector.clock()).await;
    opened.inspect_err(|_| span.failed())
}

/// Opens the WebSocket on a stream, in the span of the connection.
pub(crate) async fn exchange_in(
    span: &ConnectionSpan,
    opening: Result<ClientOpening, Error>,
    stream: Stream,
    peer: Option<SocketAddr>,
    clock: Clock,
) -> Result<Open, Error> {
    let mut exchange = pin!(exchange(opening?, stream, peer, clock));
    poll_fn(|cx| span.in_scope(|| exchange.as_mut().poll(cx))).await
}

/// Ends a blocking call when the future that waits for it is dropped.
#[derive(Default)]
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Resolves the host and connects to the first of its addresses that answers.
async fn connect_socket(connector: &mut Connector) -> Result<Attempt, Error> {
    let clock = connector.clock();
    let mut timer = LazyTimer::default();
    let mut attempts: Vec<Attempt> = Vec::new();
    loop {
        match connector.next_step()? {
            ConnectStep::Resolve(lookup, until) => {
                connector.resolved(resolve(lookup, until, &mut timer, clock).await)?;
            }
            ConnectStep::Connect(address) => match begin(connector, address) {
                Ok(socket) => attempts.push((address, socket)),
                Err(error) => connector.attempt_failed(address, &error),
            },
            ConnectStep::Wait(until) => {
                let completed = poll_fn(|cx| match poll_attempts(&attempts, cx) {
                    Poll::Ready(completed) => Poll::Ready(Some(completed)),
                    Poll::Pending => timer.poll(until, clock, cx).map(|()| None),
                });
                let Some((at, result)) = completed.await else { continue };
                let attempt = attempts.remove(at);
                match result {
                    Ok(()) => return Ok(attempt),
                    Err(error) => connector.attempt_failed(attempt.0, &error),
                }
            }
        }
    }
}

fn begin(connector: &Connector, address: SocketAddr) -> io::Result<Async<socket2::Socket>> {
    let socket = connector.socket(address)?;
    begin_connect(&socket, &address.into())?;
    Async::new(socket)
}

/// Waits until an attempt has connected or failed. Returns its index.
fn poll_attempts(attempts: &[Attempt], cx: &mut Context<'_>) -> Poll<(usize, io::Result<()>)> {
    for (at, (_, socket)) in attempts.iter().enumerate() {
        if let Poll::Ready(ready) = socket.poll_writable(cx) {
            let pending_error = || socket.get_ref().take_error()?.map_or(Ok(()), Err);
            return Poll::Ready((at, ready.and_then(|()| pending_error())));
        }
    }
    Poll::Pending
}

/// Resolves a name in a thread of `blocking`, because the operating system offers no other lookup. Returns `None` at `until`.
/// The thread is left behind then.
async fn resolve(
    lookup: Lookup,
    until: Option<Timestamp>,
    timer: &mut LazyTimer,
    clock: Clock,
) -> Option<io::Result<Vec<SocketAddr>>> {
    let resolving = blocking::unblock(move || {
        let panicked = |_| Err(io::Error::other("the resolver of this application has panicked"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lookup.run())).unwrap_or_else(panicked)
    });
    let late = poll_fn(|cx| timer.poll(until, clock, cx));
    futures_lite::future::or(async { Some(resolving.await) }, async {
        late.await;
        None
    })
    .await
}

/// Moves bytes until the WebSocket is open.
async fn exchange(
    mut opening: ClientOpening,
    mut stream: Stream,
    peer: Option<SocketAddr>,
    clock: Clock,
) -> Result<Open, Error> {
    let mut buffer = vec![0; 16 << 10];
    let mut timer = LazyTimer::default();
    loop {
        let due = opening.poll_timeout();
        let read = poll_fn(|cx| {
            let written = poll_write(&mut opening, &mut stream, cx);
            // Input that the peer sent before it disconnected takes precedence over the write error.
            match (stream.poll_read(cx, &mut buffer), written) {
                (Poll::Ready(read), _) => Poll::Ready(read.map(Some)),
                (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
                (Poll::Pending, _) => timer.poll(due, clock, cx).map(|()| Ok(None)),
            }
        });
        match read.await {
            Ok(Some(0)) => return Err(opening.receive_eof()),
            Ok(Some(read)) => match opening.receive(&buffer[..read], clock.now()) {
                Ok(Some(opened)) => return Ok(Open { opened, stream, peer, clock }),
                Ok(None) => {}
                Err(error) => {
                    // It may be an alert of TLS.
                    let _ = poll_write(&mut opening, &mut stream, &mut Context::from_waker(Waker::noop()));
                    return Err(error);
                }
            },
            Ok(None) => {}
            Err(error) => return Err(opening.fail(error)),
        }
        opening.handle_timeout(clock.now())?;
    }
}

fn poll_write(
    opening: &mut ClientOpening,
    stream: &mut Stream,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let output = opening.transmit();
    while output.has_remaining() {
        let written = ready!(stream.poll_write(cx, &[IoSlice::new(output.chunk())]))?;
        output.advance(written);
    }
    stream.poll_flush(cx)
}
