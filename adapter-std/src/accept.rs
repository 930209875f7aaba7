use std::sync::Arc;

use ws_core::{Config, HandshakeConfig, HandshakeError, OriginPolicy, Transmit, server::Accept};
use ws_transport::{Clock, ConnectionSpan, Error};

use crate::{
    WebSocket,
    opening::Opening,
    socket::Socket,
    stream::{IntoSocket, adopt},
};

/// Accepts a WebSocket on a stream that a client has connected, with default settings and on any path.
///
/// ```no_run
/// use std::{net::TcpListener, thread};
///
/// let listener = TcpListener::bind("127.0.0.1:9001")?;
/// for stream in listener.incoming() {
///     let stream = stream?;
///     thread::spawn(move || {
///         let mut ws = ws_std::accept(stream)?;
///         while let Some(message) = ws.receive()? {
///             ws.send(message)?;
///         }
///         Ok::<(), ws_std::Error>(())
///     });
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// To choose limits, subprotocols, access checks or TLS, or to serve several paths, use
/// [`Server::for_streams`](crate::Server::for_streams). Web pages of another host are refused, see
/// [`OriginPolicy::SameHost`].
///
/// The caller owns the connection: it has to [receive](WebSocket::receive), and to [close](WebSocket::close) the
/// connection at the end. A WebSocket that is dropped is aborted.
///
/// # Errors
///
/// - Returns [`Error::Handshake`] if the client's request is refused, after the client received a response with the
///   reason.
/// - Returns [`Error::Io`] if the stream fails.
pub fn accept(stream: impl IntoSocket) -> Result<WebSocket, Error> {
    let socket = Arc::new(adopt(stream)?);
    ConnectionSpan::server(socket.addresses().peer).in_scope(|| accept_in_span(socket))
}

fn accept_in_span(socket: Arc<Socket>) -> Result<WebSocket, Error> {
    let (limits, config) = (HandshakeConfig::default(), Arc::new(Config::default()));
    let clock = Clock::start();
    let mut opening = Opening::new(socket, clock, None, config.write_timeout);
    let opened = opening.receive_request(&limits, None).and_then(|request| {
        let request = request.ok_or(HandshakeError::Eof)?;
        ConnectionSpan::record_path(request.path());
        let upgrade = request.upgrade(&OriginPolicy::default())?;
        Ok(upgrade.accept(&Accept::new(), config.clone(), clock.now())?)
    });
    match opened {
        Ok(connection) => {
            let duplex = opening.into_duplex(connection);
            duplex.flush()?;
            Ok(WebSocket::new(duplex, None))
        }
        Err(error) => {
            if let Error::Handshake(error) = &error {
                let mut response = Transmit::default();
                response.extend_from_slice(&error.response().to_bytes());
                opening.respond_short(response, &config, || true);
            }
            Err(error)
        }
    }
}
