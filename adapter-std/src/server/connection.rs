//! A connection of a server, from the accepted client to its end.

use std::sync::Arc;

use ws_core::{
    CloseCode, Connection, HandshakeError, Scheme, State,
    server::{Handshake, ProxyHeaderReader, Refusal, Request},
};
use ws_sessions::{ConnectionErrorKind, Origin, guard};
use ws_transport::{Clock, ConnectionSpan, Error, tls::ServerTls};

use super::{BoundServer, route::Handler, shared::Registration};
use crate::{WebSocket, duplex::Duplex, opening::Opening, socket::Socket};

/// Serves a client that has just connected.
pub(super) fn serve(server: &BoundServer, socket: Arc<Socket>, registration: &Registration) {
    let span = ConnectionSpan::server(socket.addresses().peer);
    span.in_scope(|| serve_in_span(server, socket, registration));
}

fn serve_in_span(server: &BoundServer, socket: Arc<Socket>, registration: &Registration) {
    let clock = Clock::start();
    let sends_header = server.proxy_protocol.contains_peer(socket.addresses().peer);
    // The header of the PROXY protocol precedes TLS.
    let tls = server.tls_config.as_ref().filter(|_| !sends_header);
    let tls = match tls.map(ServerTls::session).transpose() {
        Ok(tls) => tls,
        Err(error) => return server.reporter.report(ConnectionErrorKind::Tls, None, error),
    };
    let mut opening = Opening::new(socket, clock, tls, server.router.config().write_timeout);
    let awaited = server.reporter.monitor().await_request();
    let header = sends_header.then(ProxyHeaderReader::new);
    let received = receive_request(server, &mut opening, header, clock);
    // Port scanners do this, and browsers that connect in advance.
    let Some(received) = received.transpose() else { return };
    awaited.received();
    let mut request = match received {
        Ok(request) => request,
        Err(error) => return refuse(server, opening, error),
    };
    if server.tls_config.is_some() {
        request.set_scheme(Scheme::Https);
    }
    if !registration.received_request() {
        let response = server.reporter.refuse_stopping(&request);
        return opening.respond(response, server.router.config());
    }
    let found = match server.reporter.answer(&server.router, &mut request) {
        Ok(found) => found,
        Err(Refusal { response, config }) => return opening.respond(response, config),
    };
    let endpoint = found.handler();
    let checked = endpoint.check(&request);
    match server.reporter.accept(&found, &mut request, checked, clock.now()) {
        Ok(connection) => {
            run(server, &*endpoint.handler, request, &opening.into_duplex(connection), registration);
        }
        Err(response) => opening.respond(response, found.config()),
    }
}

/// Reads a request. Returns `None` if the client closed the connection before it sent any byte of one.
fn receive_request(
    server: &BoundServer,
    opening: &mut Opening,
    mut header: Option<ProxyHeaderReader>,
    clock: Clock,
) -> Result<Option<Request>, Error> {
    let mut handshake = Handshake::new(&server.handshake, clock.now());
    let mut peer = opening.socket().addresses().peer;
    loop {
        if let Some(reader) = &mut header
            && let Some(received) = opening.consume(|input| reader.receive(input))?
        {
            header = None;
            peer = ConnectionSpan::proxied(received, peer);
            if let Some(config) = &server.tls_config {
                opening.start_tls(ServerTls::session(config)?, handshake.poll_timeout())?;
            }
        }
        if header.is_none()
            && let Some(mut request) = opening.consume(|input| handshake.receive(input))?
        {
            request.set_peer_addr(peer);
            return Ok(Some(request));
        }
        handshake.handle_timeout(clock.now())?;
        let has_begun = handshake.has_begun() || header.as_ref().is_some_and(ProxyHeaderReader::has_begun);
        match opening.read(handshake.poll_timeout()) {
            Ok(Some(0)) if has_begun => return Err(HandshakeError::Eof.into()),
            Err(Error::Io(_)) | Ok(Some(0)) if !has_begun => return Ok(None),
            Ok(_) => {}
            Err(failed) => return Err(Error::of_opening(failed, HandshakeError::Eof)),
        }
    }
}

/// Reports a client that sent no valid request. If the error is a handshake error, the client receives a response.
fn refuse(server: &BoundServer, opening: Opening, error: Error) {
    let origin = Origin { peer_addr: opening.socket().addresses().peer, path: None };
    let response = match &error {
        Error::Handshake(error) => Some(error.response().to_bytes()),
        _ => None,
    };
    server.reporter.report(ConnectionErrorKind::of(&error), Some(&origin), error);
    if let Some(response) = response {
        opening.respond(&response[..], server.router.config());
    }
}

/// Runs the handler, and then closes the connection.
fn run(
    server: &BoundServer,
    handler: &Handler,
    request: Request,
    duplex: &Arc<Duplex>,
    registration: &Registration,
) {
    let _counted = server.reporter.monitor().count_open(duplex);
    if !registration.opened(duplex) {
        let _ = duplex.close_without_waiting(CloseCode::GOING_AWAY, "the server stops");
    }
    let origin = server.reporter.origin(&request);
    let origin = origin.as_deref();
    // Write the response first, because the handler may not send anything for a while. If this fails, there is no
    // connection to handle.
    let opened = duplex.flush();
    let ws = WebSocket::attached(duplex, server.settings.read_timeout);
    let handle = || guard(|| handler(request, ws)).unwrap_or_else(|panicked| Err(panicked.into()));
    let returned = if opened.is_ok() { handle() } else { Ok(()) };
    duplex.handler.set_returned();
    let state = duplex.with_connection(Connection::state);
    let (code, reason) = match returned {
        Ok(()) => (CloseCode::NORMAL_CLOSURE, ""),
        Err(_) => (CloseCode::INTERNAL_ERROR, "the handler failed"),
    };
    let lost = returned.err().and_then(|error| server.reporter.report_handler(error, origin, state));
    if state == State::Open {
        // If this fails, there is no connection left to close.
        let _ = duplex.close(code, reason);
    }
    let _ = duplex.receive_to_end();
    // The result is known before the peer closes its side.
    if let Some(close_info) = duplex.close_info() {
        server.reporter.report_end(close_info, lost, origin);
    }
    duplex.drain();
}
