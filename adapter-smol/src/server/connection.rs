//! One connection of a server, from its first byte to its last.

use std::{future::poll_fn, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};

use futures_lite::{FutureExt as _, future};
use ws_core::{
    CloseCode, Connection, HandshakeError, Scheme, State, Timestamp,
    server::{Accept, Handshake, Refusal, Request},
};
use ws_sessions::{CheckError, ConnectionErrorKind, Origin, Panicked, guard};
use ws_transport::{Clock, Error, tls::ServerTls};

use super::{
    BoundServer,
    route::{Checking, Endpoint, HandlerResult, Handling, Started},
    shared::Registration,
};
use crate::{WebSocket, duplex::Duplex, opening::Opening, stream::Stream};

/// A connection that is open, and the handler that it has.
struct Opened {
    duplex: Arc<Duplex>,
    handling: Handling,
    origin: Option<Box<Origin>>,
}

/// Serves a client that has just connected.
///
/// What comes before the handler and after it is boxed: an open connection has no use for the space.
pub(super) async fn serve(
    server: &BoundServer,
    stream: Stream,
    peer: Option<SocketAddr>,
    registration: &Registration,
) {
    let opened = Box::pin(open(server, stream, peer, registration)).await;
    let Some(Opened { duplex, handling, origin }) = opened else { return };
    let returned = AssertUnwindSafe(handling).catch_unwind().await;
    let returned = returned.unwrap_or_else(|payload| Err(Panicked::new(&*payload).into()));
    Box::pin(close(server, duplex, returned, origin)).await;
}

/// Sees the opening handshakes through and begins to handle the connection. What asks for none is answered.
async fn open(
    server: &BoundServer,
    stream: Stream,
    peer: Option<SocketAddr>,
    registration: &Registration,
) -> Option<Opened> {
    let clock = Clock::start();
    let tls = match server.tls_config.as_ref().map(ServerTls::session).transpose() {
        Ok(tls) => tls,
        Err(error) => {
            server.reporter.report(ConnectionErrorKind::Tls, None, error);
            return None;
        }
    };
    let mut opening = Opening::new(stream, clock, tls);
    let (mut request, due) = match receive_request(server, &mut opening, clock).await {
        Ok(Some(received)) => received,
        // A port scan, or a browser that connected ahead of need.
        Ok(None) => return None,
        Err(error) => {
            refuse(server, opening, peer, error).await;
            return None;
        }
    };
    request.set_peer_addr(peer);
    if server.tls_config.is_some() {
        request.set_scheme(Scheme::Https);
    }
    if !registration.received_request() {
        let response = server.reporter.refuse_stopping(&request);
        opening.respond(response, server.site.config().into()).await;
        return None;
    }
    let found = match server.reporter.answer(&server.site, &mut request) {
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
    if !registration.opened(&duplex) {
        let _ = duplex.begin_close(CloseCode::GOING_AWAY, "the server stops");
    }
    // The response must not wait for a handler that first does something else. If it cannot be written, the
    // handler will see.
    let _ = duplex.flush().await;
    let origin = server.reporter.origin(&request);
    let ws = WebSocket::new(duplex.clone(), server.settings.read_timeout);
    // It may panic before it returns its future.
    let handling = guard(|| (endpoint.handler)(request, ws))
        .unwrap_or_else(|panicked| Box::pin(std::future::ready(Err(panicked.into()))));
    Some(Opened { duplex, handling, origin })
}

/// Lets the check of the application look at a request. One that waits ends when the opening handshake is `due` and when
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

/// Reads a request; `None` if the client closed before it sent any. Returns with it when the opening handshake is due.
async fn receive_request(
    server: &BoundServer,
    opening: &mut Opening,
    clock: Clock,
) -> Result<Option<(Request, Option<Timestamp>)>, Error> {
    let mut handshake = Handshake::new(&server.handshake, clock.now());
    loop {
        if let Some(request) = opening.consume(|input| handshake.receive(input))? {
            return Ok(Some((request, handshake.poll_timeout())));
        }
        handshake.handle_timeout(clock.now())?;
        match opening.read(handshake.poll_timeout()).await {
            Ok(Some(0)) if handshake.has_begun() => return Err(HandshakeError::Eof.into()),
            Err(Error::Io(_)) | Ok(Some(0)) if !handshake.has_begun() => return Ok(None),
            read => drop(read?),
        }
    }
}

/// Reports what is wrong with a client that sent no valid request, and tells the client if it can understand that.
async fn refuse(server: &BoundServer, opening: Opening, peer: Option<SocketAddr>, error: Error) {
    let origin = Origin { peer_addr: peer, path: None };
    let response = match &error {
        Error::Handshake(error) => Some(error.response().to_bytes()),
        _ => None,
    };
    server.reporter.report(ConnectionErrorKind::of(&error), Some(&origin), error);
    if let Some(response) = response {
        opening.respond_short(response, server.site.config().into()).await;
    }
}

/// Closes, if the handler left the connection open, and waits for the peer to close its side, so that no
/// reset overtakes the last bytes that were written.
async fn close(
    server: &BoundServer,
    duplex: Arc<Duplex>,
    returned: HandlerResult,
    origin: Option<Box<Origin>>,
) {
    let is_open = duplex.ask(Connection::state) == State::Open;
    let (code, reason) = match returned {
        Ok(()) => (CloseCode::NORMAL_CLOSURE, ""),
        Err(_) => (CloseCode::INTERNAL_ERROR, "the handler failed"),
    };
    let lost =
        returned.err().and_then(|error| server.reporter.report_handler(error, origin.as_deref(), is_open));
    if is_open {
        // If it fails, there is no connection left to close.
        let _ = duplex.begin_close(code, reason);
    }
    let _ = duplex.receive_to_end().await;
    // How it has ended is known before the peer has closed its side.
    if let Some(closure) = duplex.closure() {
        server.reporter.report_end(closure, lost, origin.as_deref());
    }
    poll_fn(|cx| duplex.poll_drain(cx)).await;
    // A socket that no other handle holds is closed with it.
    if let Err(duplex) = Arc::try_unwrap(duplex) {
        duplex.abandon();
    }
}
