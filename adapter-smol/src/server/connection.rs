//! One connection of a server, from its first byte to its last.

use std::{future::poll_fn, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};

use futures_lite::FutureExt as _;
use ws_core::{
    CloseCode, Connection, HandshakeError, State,
    server::{Handshake, Request},
};
use ws_transport::{Clock, Error, tls::ServerTls};

use super::{Server, listener::Registration, route::Handling};
use crate::{WebSocket, duplex::Duplex, opening::Opening, stream::Stream};

/// Serves a client that has just connected.
///
/// What comes before the handler and after it is boxed: an open connection has no use for the space.
pub(super) async fn serve(
    server: &Server,
    stream: Stream,
    peer: Option<SocketAddr>,
    registration: &Registration,
) {
    let opened = Box::pin(open(server, stream, peer, registration)).await;
    let Some((duplex, handler)) = opened else { return };
    let returned = AssertUnwindSafe(handler).catch_unwind().await;
    let succeeded = matches!(returned, Ok(Ok(())));
    drop(returned);
    Box::pin(close(duplex, succeeded)).await;
}

/// Sees the opening handshakes through and begins to handle the connection. What asks for none is answered.
async fn open(
    server: &Server,
    stream: Stream,
    peer: Option<SocketAddr>,
    registration: &Registration,
) -> Option<(Arc<Duplex>, Handling)> {
    let clock = Clock::start();
    let tls = server.tls_config.as_ref().map(ServerTls::session).transpose().ok()?;
    let mut opening = Opening::new(stream, clock, tls);
    let answer = match receive_request(server, &mut opening, clock).await {
        Ok(Some(mut request)) => {
            request.set_peer_addr(peer);
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
        Ok(None) | Err(_) => return None,
    };
    let ((handler, connection), request) = match answer {
        Ok(opened) => opened,
        Err(response) => {
            opening.respond(&response, server.config.close_timeout).await;
            return None;
        }
    };
    server.monitor.count_accepted();
    let duplex = opening.into_duplex(connection);
    if !registration.opened(&duplex) {
        let _ = duplex.begin_close(CloseCode::GOING_AWAY, "the server stops");
    }
    // The response must not wait for a handler that first does something else. If it cannot be written, the
    // handler will see.
    let _ = duplex.flush().await;
    let ws = WebSocket::new(duplex.clone(), server.settings.read_timeout);
    Some((duplex, handler(request, ws)))
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

/// Closes, if the handler left the connection open, and waits for the peer to close its side, so that no
/// reset overtakes the last bytes that were written.
async fn close(duplex: Arc<Duplex>, succeeded: bool) {
    if duplex.ask(Connection::state) == State::Open {
        let (code, reason) = match succeeded {
            true => (CloseCode::NORMAL_CLOSURE, ""),
            false => (CloseCode::INTERNAL_ERROR, "the handler failed"),
        };
        // If it fails, there is no connection left to close.
        let _ = duplex.begin_close(code, reason);
    }
    let _ = duplex.receive_to_end().await;
    poll_fn(|cx| duplex.poll_drain(cx)).await;
    // A socket that nobody holds any more is closed with it.
    if let Err(duplex) = Arc::try_unwrap(duplex) {
        duplex.abandon();
    }
}
