//! One connection of a server, from its first byte to its last.

use std::{future::poll_fn, panic::AssertUnwindSafe, sync::Arc};

use async_io::Timer;
use futures_lite::{FutureExt as _, future};
use ws_core::{
    Cause, CloseCode, Closure, Connection, HandshakeError, State,
    server::{Handshake, Request},
};
use ws_transport::{Clock, Error, tls::ServerTls};

use super::{Handler, Server, listener::Registration};
use crate::{WebSocket, duplex::Duplex, opening::Opening, stream::Stream};

/// Serves a client that has just connected.
pub(super) async fn serve(server: &Server, stream: Stream, registration: &Registration) {
    let Some((handler, request, duplex)) = open(server, stream).await else { return };
    run(server, handler, request, &duplex, registration).await;
}

/// Sees the opening handshakes through. What asks for no connection is answered.
async fn open(server: &Server, stream: Stream) -> Option<(&Arc<Handler>, Request, Arc<Duplex>)> {
    let clock = Clock::start();
    let tls = server.tls_config.as_ref().map(ServerTls::session).transpose().ok()?;
    // Boxed, because a connection that is open has no use for the space.
    let mut opening = Box::new(Opening::new(stream, clock, tls));
    let answer = match receive_request(server, &mut opening, clock).await {
        Ok(Some(mut request)) => {
            request.set_peer_addr(opening.stream().peer_addr());
            server.site.answer(&mut request, clock.now()).map(|opened| (opened, request))
        }
        Err(Error::Handshake(error)) => Err(error.response().to_bytes()),
        // A port scan, a browser that connected ahead of need, one that does not speak TLS.
        Ok(None) | Err(_) => return None,
    };
    match answer {
        Ok(((handler, connection), request)) => Some((handler, request, opening.into_duplex(connection))),
        Err(response) => {
            Box::pin(opening.respond(&response, server.config.close_timeout)).await;
            None
        }
    }
}

/// Reads a request; `None` if the client closed before it sent any.
async fn receive_request(
    server: &Server,
    opening: &mut Opening,
    clock: Clock,
) -> Result<Option<Request>, Error> {
    let mut handshake = Handshake::new(server.config.clone(), clock.now());
    loop {
        if let Some(request) = opening.consume(|input| handshake.receive(input))? {
            return Ok(Some(request));
        }
        handshake.handle_timeout(clock.now())?;
        if opening.read(handshake.poll_timeout()).await? == Some(0) {
            return if handshake.has_begun() { Err(HandshakeError::Eof.into()) } else { Ok(None) };
        }
    }
}

/// Runs the handler and closes after it.
async fn run(
    server: &Server,
    handler: &Arc<Handler>,
    request: Request,
    duplex: &Arc<Duplex>,
    registration: &Registration,
) {
    if !registration.opened(duplex) {
        let _ = duplex.begin_close(CloseCode::GOING_AWAY, "the server stops");
    }
    let ws = WebSocket::new(duplex.clone(), server.settings.read_timeout);
    // The response must not wait for a handler that first does something else.
    let returned = match ws.flush().await {
        Ok(()) => AssertUnwindSafe(handler(request, ws)).catch_unwind().await.ok(),
        Err(error) => Some(Err(error.into())),
    };
    if duplex.ask(Connection::state) == State::Open {
        let (code, reason) = match returned {
            Some(Ok(())) => (CloseCode::NORMAL_CLOSURE, ""),
            _ => (CloseCode::INTERNAL_ERROR, "the handler failed"),
        };
        // If it fails, there is no connection left to close.
        let _ = duplex.begin_close(code, reason);
    }
    while let Ok(Some(_)) = poll_fn(|cx| duplex.poll_receive(cx, None)).await {}
    // Waits for the peer to close its side, so that no reset overtakes the last bytes that were written.
    if !matches!(duplex.closure(), Some(Closure { cause: Cause::Timeout(_), .. })) {
        let patience = async {
            Timer::after(server.config.close_timeout).await;
        };
        future::or(poll_fn(|cx| duplex.poll_drain(cx)), patience).await;
    }
    duplex.abandon();
}
