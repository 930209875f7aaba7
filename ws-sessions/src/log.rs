//! Log events of servers, for the feature `tracing`. Without the feature, nothing of this takes space or time.

use std::{error, net::SocketAddr};

use crate::{ConnectionErrorKind, Origin};

/// Logs an error of a connection, at the level of its kind. Each event belongs to the current span.
///
/// The texts of the application are written unchanged: errors of its handlers, its panics, and the bodies of its
/// refusals. Texts of the peer are omitted.
pub(crate) fn error(
    kind: ConnectionErrorKind,
    origin: Option<&Origin>,
    error: &(dyn error::Error + Send + Sync + 'static),
) {
    #[cfg(feature = "tracing")]
    {
        // A client may be refused before it has a span.
        let peer = origin.and_then(|origin| origin.peer_addr).map(tracing::field::display);
        let kind_name = kind.as_str();
        match kind {
            ConnectionErrorKind::Handler | ConnectionErrorKind::Panic => {
                tracing::error!(target: "websocket", kind = kind_name, peer, %error, "the application failed");
            }
            ConnectionErrorKind::Refused | ConnectionErrorKind::Tls => {
                tracing::warn!(target: "websocket", kind = kind_name, peer, %error, "the connection is refused");
            }
            // The text may contain the reason of the peer's Close. The event for the end has the code.
            ConnectionErrorKind::Protocol | ConnectionErrorKind::Disconnected => {
                tracing::debug!(target: "websocket", kind = kind_name, peer, "the connection is lost");
            }
        }
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (kind, origin, error);
}

/// Logs a request that is answered without an attempt to open a WebSocket.
pub(crate) fn page() {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "websocket", "the request is answered without a WebSocket");
}

/// Logs a client that left without a request.
pub(crate) fn abandoned() {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "websocket", "the client left without a request");
}

/// Logs the start of a server. `None`: it listens on a Unix-domain socket.
pub(crate) fn started(address: Option<SocketAddr>) {
    #[cfg(feature = "tracing")]
    match address {
        Some(address) => tracing::info!(target: "websocket", %address, "the server listens"),
        None => tracing::info!(target: "websocket", "the server listens on a Unix-domain socket"),
    }
    #[cfg(not(feature = "tracing"))]
    let _ = address;
}

/// Logs the beginning of a stop.
pub(crate) fn stopping(connections: u64) {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "websocket", connections, "the server stops");
    #[cfg(not(feature = "tracing"))]
    let _ = connections;
}

/// Logs that a server has stopped.
pub(crate) fn stopped() {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "websocket", "the server has stopped");
}
