//! One connection of a server, from its first byte to its last.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use ws_core::{
    CloseCode, Connection, HandshakeError, State,
    server::{Handshake, Request},
};
use ws_transport::{Clock, Error, tls::ServerTls};

use super::{Handler, Server, listener::Registration};
use crate::{WebSocket, duplex::Duplex, opening::Opening, socket::Socket};

/// Serves a client that has just connected.
pub(super) fn serve(server: &Server, socket: Arc<Socket>, registration: &Registration) {
    let clock = Clock::start();
    let Ok(tls) = server.tls_config.as_ref().map(ServerTls::session).transpose() else { return };
    let mut opening = Opening::new(socket, clock, tls, server.config.write_timeout);
    let answer = match receive_request(server, &mut opening, clock) {
        Ok(Some(mut request)) => {
            request.set_peer_addr(opening.socket().peer_addr());
            let answer = server.site.answer(&mut request, clock.now());
            if answer.is_err() && request.is_upgrade() {
                server.monitor.count_refused();
            }
            answer.map(|opened| (opened, request))
        }
        Err(Error::Handshake(error)) => {
            server.monitor.count_refused();
            Err(error.response().to_bytes())
        }
        // A port scan, a browser that connected ahead of need, one that does not speak TLS.
        Ok(None) | Err(_) => return,
    };
    match answer {
        Ok(((handler, connection), request)) => {
            server.monitor.count_accepted();
            run(server, handler, request, &opening.into_duplex(connection), registration);
        }
        Err(response) => {
            if opening.write_all(&mut &*response).is_ok() {
                opening.finish(server.site.config().close_timeout);
            }
        }
    }
}

/// Reads a request; `None` if the client closed before it sent any.
fn receive_request(server: &Server, opening: &mut Opening, clock: Clock) -> Result<Option<Request>, Error> {
    let mut handshake = Handshake::new(server.config.clone(), clock.now());
    loop {
        if let Some(request) = opening.consume(|input| handshake.receive(input))? {
            return Ok(Some(request));
        }
        handshake.handle_timeout(clock.now())?;
        if opening.read(handshake.poll_timeout())? == Some(0) {
            return if handshake.has_begun() { Err(HandshakeError::Eof.into()) } else { Ok(None) };
        }
    }
}

/// Runs the handler and closes after it.
fn run(
    server: &Server,
    handler: &Arc<Handler>,
    request: Request,
    duplex: &Arc<Duplex>,
    registration: &Registration,
) {
    if !registration.opened(duplex) {
        let _ = duplex.close_without_waiting(CloseCode::GOING_AWAY, "");
    }
    // The response must not wait for a handler that first does something else.
    let opened = duplex.flush();
    let ws = WebSocket::new(duplex.clone(), server.settings.read_timeout);
    let returned = opened.is_ok().then(|| catch_unwind(AssertUnwindSafe(|| handler(request, ws))));
    if duplex.ask(Connection::state) == State::Open {
        let (code, reason) = match returned {
            Some(Ok(Ok(()))) => (CloseCode::NORMAL_CLOSURE, ""),
            _ => (CloseCode::INTERNAL_ERROR, "the handler failed"),
        };
        // If it fails, there is no connection left to close.
        let _ = duplex.close(code, reason);
    }
    let _ = duplex.receive_to_end();
    duplex.drain();
}
