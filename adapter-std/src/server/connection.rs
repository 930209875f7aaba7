//! A connection of a server, from the accepted client to its end.

use std::sync::Arc;

use ws_core::{
    CloseCode, Connection, State,
    server::{Refusal, Request},
};
use ws_sessions::{ConnectionErrorKind, Origin, guard};
use ws_transport::{Clock, ConnectionSpan, Error, ProxyPreamble, tls::ServerTls};

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
    let preamble = sends_header.then(|| ProxyPreamble::new(server.tls_config.as_ref()));
    let received = opening.receive_request(&server.handshake, preamble);
    // Port scanners do this, and browsers that connect in advance.
    let Some(received) = received.transpose() else { return };
    awaited.received();
    let mut request = match received {
        Ok(request) => request,
        Err(error) => return refuse(server, opening, error, registration),
    };
    opening.describe(&mut request);
    let memory = server.reporter.monitor().memory();
    if !registration.received_request() {
        let response = server.reporter.refuse_stopping(&server.router, &request);
        return opening.respond(response, server.router.config(), memory, || registration.linger());
    }
    let found = match server.reporter.answer(&server.router, &mut request) {
        Ok(found) => found,
        Err(Refusal { response, config }) => {
            return opening.respond(response, config, memory, || registration.linger());
        }
    };
    let endpoint = found.handler();
    let checked = endpoint.check(&request);
    match server.reporter.accept(&found, &mut request, checked, clock.now()) {
        Ok(connection) => {
            let duplex = opening.into_duplex(connection);
            duplex.join(memory);
            run(server, &*endpoint.handler, request, &duplex, registration);
        }
        Err(response) => opening.respond(response, found.config(), memory, || registration.linger()),
    }
}

/// Reports a client that sent no valid request. If the error is a handshake error, the client receives a response.
fn refuse(server: &BoundServer, opening: Opening, error: Error, registration: &Registration) {
    let origin = Origin { peer_addr: opening.socket().addresses().peer, path: None };
    let response = match &error {
        Error::Handshake(error) => Some(server.reporter.refuse(&server.router, None, error.response())),
        _ => None,
    };
    server.reporter.report(ConnectionErrorKind::of(&error), Some(&origin), error);
    if let Some(response) = response {
        let memory = server.reporter.monitor().memory();
        opening.respond(response, server.router.config(), memory, || registration.linger());
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
    if registration.linger() { duplex.drain() } else { duplex.abandon() }
}
