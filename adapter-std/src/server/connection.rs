//! One connection of a server, from its first byte to its last.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use ws_core::{CloseCode, Config, Connection, HandshakeError, Parameters, Response, State, server};

use super::{Request, Route, Server, listener::Registration};
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
    let config = Arc::new(server.config.clone());
    let opened = match receive_request(socket, clock, &mut buffer, config) {
        Ok(Some(head)) => answer(server, head, socket, clock),
        Err(Error::Handshake(error)) => Err(error.response().to_bytes()),
        // A port scan, or a browser that connected ahead of need.
        Ok(None) | Err(_) => return,
    };
    match opened {
        Ok((route, request, connection)) => {
            let duplex = Arc::new(Duplex::new(socket.clone(), clock, buffer, connection));
            run(server, route, request, &duplex, registration);
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
) -> Result<Option<server::Request>, Error> {
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

/// Opens a connection, whose response waits in it, or gives the bytes to answer instead.
fn answer<'s>(
    server: &'s Server,
    head: server::Request,
    socket: &Socket,
    clock: Clock,
) -> Result<(&'s Route, Request, Connection), Vec<u8>> {
    let mut request = Request { head, parameters: Parameters::default(), peer_addr: socket.peer_addr() };
    let opened = if request.is_upgrade() {
        upgrade(server, &mut request, clock)
    } else {
        Err(page(server, &mut request))
    };
    match opened {
        Ok((route, connection)) => Ok((route, request, connection)),
        Err(response) => Err(request.respond(&response)),
    }
}

/// Opens the connection that is asked for, or tells why not.
fn upgrade<'s>(
    server: &'s Server,
    request: &mut Request,
    clock: Clock,
) -> Result<(&'s Route, Connection), Response> {
    let (route, parameters) = server.routes.find(request.path()).ok_or_else(not_found)?;
    request.parameters = parameters;
    let opened = match request.head.upgrade(&route.config().origin) {
        Ok(upgrade) => {
            let accept = route.admit(request, &upgrade)?;
            upgrade.accept(&accept, route.config().clone(), clock.now())
        }
        Err(error) => Err(error),
    };
    opened.map(|connection| (route, connection)).map_err(|error| error.response())
}

/// Answers a request for something else than a WebSocket.
fn page(server: &Server, request: &mut Request) -> Response {
    match server.pages.find(request.path()) {
        Some(_) if !matches!(request.method(), "GET" | "HEAD") => {
            Response::new(405).header("Allow", "GET, HEAD")
        }
        Some((page, parameters)) => {
            request.parameters = parameters;
            page(request)
        }
        None if server.routes.find(request.path()).is_some() => HandshakeError::NotAnUpgrade.response(),
        None => not_found(),
    }
}

fn not_found() -> Response {
    Response::new(404).text("Nothing is served on this path.\n")
}

/// Runs the handler and closes after it.
fn run(server: &Server, route: &Route, request: Request, duplex: &Arc<Duplex>, registration: &Registration) {
    if !registration.opened(duplex) {
        duplex.close_without_waiting(CloseCode::GOING_AWAY, "");
    }
    // The response must not wait for a handler that first does something else.
    let opened = duplex.flush();
    let ws = WebSocket::new(duplex.clone(), server.settings.read_timeout);
    let returned = opened.is_ok().then(|| catch_unwind(AssertUnwindSafe(|| route.handle(request, ws))));
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
        buffer.drain(socket, Instant::now() + server.config.close_timeout);
    }
}
