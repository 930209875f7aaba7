//! One connection of a server, from its first byte to its last.

use std::{future::poll_fn, net::SocketAddr, panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use async_io::Timer;
use futures_lite::{Future as _, FutureExt as _, future};
use ws_core::{
    CloseCode, Connection, HandshakeError, Scheme, State, Timestamp,
    server::{Accept, Handshake, ProxyHeaderReader, Refusal, Request},
};
use ws_sessions::{CheckError, ConnectionErrorKind, CountedConnection, Origin, Panicked, guard};
use ws_transport::{Clock, ConnectionSpan, DROP_GRACE, Error, tls::ServerTls};

use super::{
    BoundServer,
    route::{Checking, Endpoint, HandlerResult, Handling, Started},
    shared::Registration,
    signals::Signals,
};
use crate::{WebSocket, duplex::Duplex, opening::Opening, stream::Stream};

/// An open connection and its handler.
struct Opened {
    duplex: Arc<Duplex>,
    handling: Handling,
    origin: Option<Box<Origin>>,
    counted: CountedConnection,
}

/// Serves a client that has just connected.
///
/// The futures before and after the handler are boxed, so that an open connection does not reserve space for them.
pub(super) async fn serve(
    server: &BoundServer,
    stream: Stream,
    peer: Option<SocketAddr>,
    registration: &Registration,
) {
    let opened = Box::pin(open(server, stream, peer, registration)).await;
    let Some(Opened { duplex, handling, origin, counted: _counted }) = opened else { return };
    let returned = handle(handling, &duplex, registration.signals()).await;
    Box::pin(close(server, duplex, returned, origin)).await;
}

/// Runs the handler. If the handler drops the receiving half and continues to run, this function receives in its
/// place.
async fn handle(handling: Handling, duplex: &Arc<Duplex>, signals: &Arc<Signals>) -> HandlerResult {
    let mut handling = AssertUnwindSafe(handling).catch_unwind();
    let mut substitute = None;
    let returned = poll_fn(|cx| {
        let polled = Pin::new(&mut handling).poll(cx);
        if polled.is_pending() && signals.is_unattended() {
            // A future that has completed is not polled again.
            let begin = || Some(Box::pin(drain_unattended(duplex.clone(), signals.clone())));
            let draining = substitute.get_or_insert_with(begin);
            if draining.as_mut().is_some_and(|draining| draining.as_mut().poll(cx).is_ready()) {
                *draining = None;
            }
        }
        polled
    });
    returned.await.unwrap_or_else(|payload| Err(Panicked::new(&*payload).into()))
}

/// Receives in place of a handler and discards all events, until the peer has closed its side. Closes the connection
/// when the handler has dropped all handles.
async fn drain_unattended(duplex: Arc<Duplex>, signals: Arc<Signals>) {
    Timer::after(DROP_GRACE).await;
    poll_fn(|cx| {
        if signals.is_abandoned() {
            // This does nothing if a Close was sent. It cannot fail, because the code and the reason are valid.
            let _ = duplex.begin_close(CloseCode::NORMAL_CLOSURE, "");
        }
        duplex.poll_drain(cx)
    })
    .await;
    duplex.abandon();
}

/// Completes the opening handshakes and starts the handler. A request without an upgrade receives its response here.
async fn open(
    server: &BoundServer,
    stream: Stream,
    peer: Option<SocketAddr>,
    registration: &Registration,
) -> Option<Opened> {
    let clock = Clock::start();
    let sends_header = server.proxy_protocol.contains_peer(peer);
    // The header of the PROXY protocol precedes TLS.
    let tls = server.tls_config.as_ref().filter(|_| !sends_header);
    let tls = match tls.map(ServerTls::session).transpose() {
        Ok(tls) => tls,
        Err(error) => {
            server.reporter.report(ConnectionErrorKind::Tls, None, error);
            return None;
        }
    };
    let mut opening = Opening::new(stream, peer, clock, tls);
    let awaited = server.reporter.monitor().await_request();
    // `None`: the client sent no request. It is a port scan, or a browser that connects in advance.
    let header = sends_header.then(ProxyHeaderReader::new);
    let received = receive_request(server, &mut opening, header, clock).await.transpose()?;
    awaited.received();
    let (mut request, due) = match received {
        Ok(received) => received,
        Err(error) => {
            refuse(server, opening, peer, error).await;
            return None;
        }
    };
    if server.tls_config.is_some() {
        request.set_scheme(Scheme::Https);
    }
    if !registration.received_request() {
        let response = server.reporter.refuse_stopping(&request);
        opening.respond(response, server.router.config().into()).await;
        return None;
    }
    let found = match server.reporter.answer(&server.router, &mut request) {
        Ok(found) => found,
        Err(Refusal { response, config }) => {
            opening.respond(response, config.into()).await;
            return None;
        }
    };
    let endpoint = found.handler();
    let checked = check(endpoint, &request, &mut opening, due, registration).await;
    let connection = match server.reporter.accept(&found, &mut request, checked, clock.now()) {
        Ok(connection) => connection,
        Err(response) => {
            opening.respond(response, found.config().into()).await;
            return None;
        }
    };
    let duplex = opening.into_duplex(connection);
    let counted = server.reporter.monitor().count_open(&duplex);
    if !registration.opened(&duplex) {
        let _ = duplex.begin_close(CloseCode::GOING_AWAY, "the server stops");
    }
    // Send the response before the handler runs, because the handler may do other work first. The handler detects a
    // failed write.
    let _ = duplex.flush().await;
    let origin = server.reporter.origin(&request);
    let ws = WebSocket::attached(duplex.clone(), server.settings.read_timeout, registration.signals());
    // The handler may panic before it returns its future.
    let handling = guard(|| (endpoint.handler)(request, ws))
        .unwrap_or_else(|panicked| Box::pin(std::future::ready(Err(panicked.into()))));
    Some(Opened { duplex, handling, origin, counted })
}

/// Runs the check of the application on a request. A check that waits ends when the opening handshake is `due`, and when
/// the server stops.
async fn check(
    endpoint: &Endpoint,
    request: &Request,
    opening: &mut Opening,
    due: Option<Timestamp>,
    registration: &Registration,
) -> Result<Accept, CheckError> {
    let mut checking: Checking = match endpoint.start_check(request)? {
        Started::Ended(checked) => return checked.map_err(CheckError::Refused),
        Started::Waits(checking) => checking,
    };
    let ended = async {
        let checked = AssertUnwindSafe(&mut checking).catch_unwind().await;
        let checked = checked.map_err(|payload| CheckError::Panicked(Panicked::new(&*payload)))?;
        checked.map_err(CheckError::Refused)
    };
    let late = async {
        opening.wait_until(due).await;
        Err(CheckError::TimedOut)
    };
    let stopping = async {
        registration.stopping().await;
        Err(CheckError::Stopping)
    };
    let checked = future::or(ended, future::or(late, stopping)).await;
    // A destructor of the application may panic too.
    guard(|| drop(checking)).map_err(CheckError::Panicked)?;
    checked
}

/// Reads a request. Returns `None` if the client closed before it sent any byte. Also returns the deadline of the opening
/// handshake.
async fn receive_request(
    server: &BoundServer,
    opening: &mut Opening,
    mut header: Option<ProxyHeaderReader>,
    clock: Clock,
) -> Result<Option<(Request, Option<Timestamp>)>, Error> {
    let mut handshake = Handshake::new(&server.handshake, clock.now());
    let mut peer = opening.peer_addr();
    loop {
        if let Some(reader) = &mut header
            && let Some(received) = opening.consume(|input| reader.receive(input))?
        {
            header = None;
            peer = ConnectionSpan::proxied(received, peer);
            if let Some(config) = &server.tls_config {
                opening.start_tls(ServerTls::session(config)?)?;
            }
        }
        if header.is_none()
            && let Some(mut request) = opening.consume(|input| handshake.receive(input))?
        {
            request.set_peer_addr(peer);
            return Ok(Some((request, handshake.poll_timeout())));
        }
        handshake.handle_timeout(clock.now())?;
        let has_begun = handshake.has_begun() || header.as_ref().is_some_and(ProxyHeaderReader::has_begun);
        match opening.read(handshake.poll_timeout()).await {
            Ok(Some(0)) if has_begun => return Err(HandshakeError::Eof.into()),
            Err(Error::Io(_)) | Ok(Some(0)) if !has_begun => return Ok(None),
            Ok(_) => {}
            Err(failed) => return Err(Error::of_opening(failed, HandshakeError::Eof)),
        }
    }
}

/// Reports the error of a client that sent no valid request. Sends a response if the client can read one.
async fn refuse(server: &BoundServer, opening: Opening, peer: Option<SocketAddr>, error: Error) {
    let origin = Origin { peer_addr: peer, path: None };
    let response = match &error {
        Error::Handshake(error) => Some(error.response().to_bytes()),
        _ => None,
    };
    server.reporter.report(ConnectionErrorKind::of(&error), Some(&origin), error);
    if let Some(response) = response {
        opening.respond_short(response, server.router.config().into()).await;
    }
}

/// Closes the connection if the handler left it open, and waits until the peer closes its side, so that no reset
/// overtakes the last output.
async fn close(
    server: &BoundServer,
    duplex: Arc<Duplex>,
    returned: HandlerResult,
    origin: Option<Box<Origin>>,
) {
    let state = duplex.with_connection(Connection::state);
    let (code, reason) = match returned {
        Ok(()) => (CloseCode::NORMAL_CLOSURE, ""),
        Err(_) => (CloseCode::INTERNAL_ERROR, "the handler failed"),
    };
    let lost =
        returned.err().and_then(|error| server.reporter.report_handler(error, origin.as_deref(), state));
    if state == State::Open {
        // If this fails, the connection has already ended.
        let _ = duplex.begin_close(code, reason);
    }
    let _ = duplex.receive_to_end().await;
    // The reason for the end is known before the peer has closed its side.
    if let Some(close_info) = duplex.close_info() {
        server.reporter.report_end(close_info, lost, origin.as_deref());
    }
    poll_fn(|cx| duplex.poll_drain(cx)).await;
    // If no other handle exists, dropping the connection closes its socket.
    if let Err(duplex) = Arc::try_unwrap(duplex) {
        duplex.abandon();
    }
}
