//! One connection of a server, from its first byte to its last.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use ws_core::{
    CloseCode, Config, HandshakeError, State,
    server::{self, Request},
};

use super::{Handler, Server, listener::Registration};
use crate::{
    Error, WebSocket,
    clock::Clock,
    duplex::{Duplex, ReadBuffer},
    socket::{Patience, Socket},
};

/// Serves a client that has just connected.
pub(super) fn serve(server: &Server, socket: &Arc<Socket>, registration: &Registration) {
    let clock = Clock::start();
    let mut buffer = ReadBuffer::default();
    let config = Arc::new(server.site.config().clone());
    let answer = match receive_request(socket, clock, &mut buffer, config) {
        Ok(Some(mut request)) => {
            request.set_peer_addr(socket.peer_addr());
            server.site.answer(&mut request, clock.now()).map(|opened| (opened, request))
        }
        Err(Error::Handshake(error)) => Err(error.response().to_bytes()),
        // A port scan, or a browser that connected ahead of need.
        Ok(None) | Err(_) => return,
    };
    match answer {
        Ok(((handler, connection), request)) => {
            let duplex = Arc::new(Duplex::new(socket.clone(), clock, buffer, connection));
            run(server, handler, request, &duplex, registration);
        }
        Err(response) => respond(socket, &mut buffer, &response, server),
    }
}

/// Reads a request; `None` if the client closed before it sent any.
fn receive_request(
    socket: &Socket,
    clock: Clock,
    buffer: &mut ReadBuffer,
    config: Arc<Config>,
) -> Result<Option<Request>, Error> {
    let mut handshake = server::Handshake::new(config, clock.now());
    loop {
        if let Some(request) = buffer.consume(|input| handshake.receive(input))? {
            return Ok(Some(request));
        }
        handshake.handle_timeout(clock.now())?;
        let timeout = handshake.poll_timeout().map(|due| clock.until(due));
        if buffer.fill(socket, timeout)? == Some(0) {
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
        duplex.close_without_waiting(CloseCode::GOING_AWAY, "");
    }
    // The response must not wait for a handler that first does something else.
    let opened = duplex.flush();
    let ws = WebSocket::new(duplex.clone(), server.settings.read_timeout);
    let returned = opened.is_ok().then(|| catch_unwind(AssertUnwindSafe(|| handler(request, ws))));
    if duplex.connection().state() == State::Open {
        let (code, reason) = match returned {
            Some(Ok(Ok(()))) => (CloseCode::NORMAL_CLOSURE, ""),
            _ => (CloseCode::INTERNAL_ERROR, "the handler failed"),
        };
        // If it fails, there is no connection left to close.
        let _ = duplex.close(code, reason);
    }
    let _ = duplex.receive_to_end();
    duplex.linger();
}

/// Answers over HTTP and closes so that the answer arrives.
fn respond(socket: &Socket, buffer: &mut ReadBuffer, response: &[u8], server: &Server) {
    if let Ok(true) = socket.write_all(&mut &*response, Patience::Wait) {
        socket.shutdown(std::net::Shutdown::Write);
        buffer.drain(socket, Instant::now() + server.site.config().close_timeout);
    }
}
