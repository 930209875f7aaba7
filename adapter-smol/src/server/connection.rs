//! One connection of a server, from its first byte to its last.

use std::{
    future::poll_fn,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Weak},
};

use async_io::Timer;
use futures_lite::{Future as _, FutureExt as _, future};
use ws_core::{
    CloseCode, Config, Connection, State, Timestamp, Transmit,
    server::{Accept, Refusal, Request},
};
use ws_sessions::{CheckError, ConnectionErrorKind, CountedConnection, Origin, Panicked, guard};
use ws_transport::{Clock, DROP_GRACE, Error, Evict, ProxyPreamble, tls::ServerTls};

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
    Box::pin(close(server, duplex, returned, origin, registration)).await;
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
    let preamble = sends_header.then(|| ProxyPreamble::new(server.tls_config.as_ref()));
    let received = opening.receive_request(&server.handshake, preamble).await.transpose()?;
    awaited.received();
    let (mut request, due) = match received {
        Ok(received) => received,
        Err(error) => {
            refuse(server, opening, peer, error, registration).await;
            return None;
        }
    };
    opening.describe(&mut request);
    if !registration.received_request() {
        let response = server.reporter.refuse_stopping(&server.router, &request);
        respond(server, opening, response, server.router.config(), registration).await;
        return None;
    }
    let found = match server.reporter.answer(&server.router, &mut request) {
        Ok(found) => found,
        Err(Refusal { response, config }) => {
            respond(server, opening, response, config, registration).await;
            return None;
        }
    };
    let endpoint = found.handler();
    let checked = check(endpoint, &request, &mut opening, due, registration).await;
    let connection = match server.reporter.accept(&found, &mut request, checked, clock.now()) {
        Ok(connection) => connection,
        Err(response) => {
            respond(server, opening, response, found.config(), registration).await;
            return None;
        }
    };
    let duplex = opening.into_duplex(connection);
    duplex.join(server.reporter.monitor().memory());
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

/// Sends a response that opens no connection. It counts for the memory of the server.
async fn respond(
    server: &BoundServer,
    opening: Opening,
    response: Transmit,
    config: &Config,
    registration: &Registration,
) {
    let owner: Weak<dyn Evict> = Arc::<Signals>::downgrade(registration.signals());
    let memory = server.reporter.monitor().memory();
    opening.respond(response, config.into(), || registration.linger(), memory, owner).await;
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

/// Reports the error of a client that sent no valid request. Sends a response if the client can read one.
async fn refuse(
    server: &BoundServer,
    opening: Opening,
    peer: Option<SocketAddr>,
    error: Error,
    registration: &Registration,
) {
    let origin = Origin { peer_addr: peer, path: None };
    let response = match &error {
        Error::Handshake(error) => Some(server.reporter.refuse(&server.router, None, error.response())),
        _ => None,
    };
    server.reporter.report(ConnectionErrorKind::of(&error), Some(&origin), error);
    if let Some(response) = response {
        opening.respond_short(response, server.router.config().into(), || registration.linger()).await;
    }
}

/// Closes the connection if the handler left it open, and waits until the peer closes its side, so that no reset
/// overtakes the last output.
async fn close(
    server: &BoundServer,
    duplex: Arc<Duplex>,
    returned: HandlerResult,
    origin: Option<Box<Origin>>,
    registration: &Registration,
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
    if registration.linger() {
        poll_fn(|cx| duplex.poll_drain(cx)).await;
    }
    // If no other handle exists, dropping the connection closes its socket.
    if let Err(duplex) = Arc::try_unwrap(duplex) {
        duplex.abandon();
    }
}
