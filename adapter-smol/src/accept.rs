use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    sync::Arc,
};

use futures_lite::{AsyncRead, AsyncWrite};
use ws_core::{Config, HandshakeConfig, HandshakeError, OriginPolicy, Transmit, server::Accept};
use ws_transport::{Clock, ConnectionSpan, Error};

use crate::{WebSocket, opening::Opening, stream::Stream};

/// Accepts a WebSocket on a stream that a client has connected, with default settings and on any path. The stream is a
/// socket, a TLS stream or anything else that implements `AsyncRead` and `AsyncWrite`.
///
/// ```no_run
/// # async fn run() -> Result<(), ws_smol::Error> {
/// let listener = smol::net::TcpListener::bind("127.0.0.1:9001").await?;
/// loop {
///     let (stream, _) = listener.accept().await?;
///     smol::spawn(async {
///         let mut ws = ws_smol::accept(stream).await?;
///         while let Some(message) = ws.receive().await? {
///             ws.send(message).await?;
///         }
///         Ok::<(), ws_smol::Error>(())
///     })
///     .detach();
/// }
/// # }
/// ```
///
/// A stream of tokio needs the adapter `tokio_util::compat`: `ws_smol::accept(stream.compat())`. To choose limits,
/// subprotocols, access checks or TLS, or to serve several paths, use
/// [`Server::for_streams`](crate::Server::for_streams). Web pages of another host are refused, see
/// [`OriginPolicy::SameHost`].
///
/// Closing the stream (`AsyncWrite::poll_close`) has to end it for the peer, as it does for TCP and TLS. Otherwise both
/// ends wait for the end of the stream, up to [`close_timeout`](Config::close_timeout).
///
/// The caller owns the connection: it has to [receive](WebSocket::receive), and to [close](WebSocket::close) the
/// connection at the end. A WebSocket that is dropped is aborted. A message counts as written when the stream has been
/// flushed.
///
/// # Errors
///
/// - Returns [`Error::Handshake`] if the client's request is refused, after the client received a response with the
///   reason.
/// - Returns [`Error::Io`] if the stream fails.
pub async fn accept(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Result<WebSocket, Error> {
    let span = ConnectionSpan::server(None);
    let mut accepting = pin!(accept_in_span(Stream::other(stream)));
    poll_fn(|cx| span.in_scope(|| accepting.as_mut().poll(cx))).await
}

async fn accept_in_span(stream: Stream) -> Result<WebSocket, Error> {
    let (limits, config) = (HandshakeConfig::default(), Arc::new(Config::default()));
    let clock = Clock::start();
    let mut opening = Opening::new(stream, None, clock, None);
    let received = opening.receive_request(&limits, None).await;
    let opened = received.and_then(|received| {
        let (request, _) = received.ok_or(HandshakeError::Eof)?;
        ConnectionSpan::record_path(request.path());
        let upgrade = request.upgrade(&OriginPolicy::default())?;
        Ok(upgrade.accept(&Accept::new(), config.clone(), clock.now())?)
    });
    match opened {
        Ok(connection) => {
            let duplex = opening.into_duplex(connection);
            duplex.flush().await?;
            Ok(WebSocket::new(duplex, None))
        }
        Err(error) => {
            if let Error::Handshake(error) = &error {
                let mut response = Transmit::default();
                response.extend_from_slice(&error.response().to_bytes());
                opening.respond_short(response, (&*config).into(), || true).await;
            }
            Err(error)
        }
    }
}
