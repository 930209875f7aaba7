//! Log events of connections, for the feature `tracing`. Without the feature, nothing of this takes space or time.
//!
//! All texts and fields are free of secrets: no event contains a header, a query, the user of a URL, a payload or the
//! reason of a Close.

use std::net::SocketAddr;
#[cfg(feature = "tracing")]
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[cfg(feature = "tracing")]
use ws_core::{Cause, Side};
use ws_core::{CloseInfo, server::ProxyHeader};

use crate::SendOutcome;

/// The span of a connection in the log. It contains the `id` of the connection, the `role` of this end, the address of
/// the `peer`, the `path` of the request, and, if there is one, the number of the `session`.
///
/// With the feature `tracing`, an adapter runs the connection inside the span, together with the handler and the
/// callbacks of the application. So each event has the span, that of the application too.
#[derive(Clone, Debug, Default)]
pub struct ConnectionSpan {
    #[cfg(feature = "tracing")]
    span: Option<tracing::Span>,
}

impl ConnectionSpan {
    /// Creates the span of a client that has connected to a server. Its path is [recorded](Self::record_path) when the
    /// request is known.
    #[must_use]
    pub fn server(peer: Option<SocketAddr>) -> Self {
        Self::new("server", peer, None)
    }

    /// Creates the span of a client's connection. A query in `target` is omitted.
    #[must_use]
    pub fn client(peer: Option<SocketAddr>, target: &str) -> Self {
        Self::new("client", peer, target.split('?').next())
    }

    #[cfg(feature = "tracing")]
    fn new(role: &'static str, peer: Option<SocketAddr>, path: Option<&str>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        // The span has the highest level, so that each event that is written has its connection.
        let span = tracing::error_span!(
            target: "websocket",
            "connection",
            id = NEXT_ID.fetch_add(1, Relaxed),
            role,
            peer = peer.map(tracing::field::display),
            path,
            client = tracing::field::Empty,
            session = tracing::field::Empty,
        );
        Self { span: (!span.is_disabled()).then_some(span) }
    }

    #[cfg(not(feature = "tracing"))]
    fn new(_: &'static str, _: Option<SocketAddr>, _: Option<&str>) -> Self {
        Self {}
    }

    /// Returns the current span.
    pub(crate) fn current() -> Self {
        #[cfg(feature = "tracing")]
        {
            let span = tracing::Span::current();
            Self { span: (!span.is_disabled()).then_some(span) }
        }
        #[cfg(not(feature = "tracing"))]
        Self {}
    }

    /// Runs a function inside the span.
    #[inline]
    pub fn in_scope<T>(&self, run: impl FnOnce() -> T) -> T {
        #[cfg(feature = "tracing")]
        if let Some(span) = &self.span {
            return span.in_scope(run);
        }
        run()
    }

    /// Adds the path of the request to the current span.
    pub fn record_path(path: &str) {
        #[cfg(feature = "tracing")]
        tracing::Span::current().record("path", path);
        #[cfg(not(feature = "tracing"))]
        let _ = path;
    }

    /// Adds the address of the client behind a proxy to the current span.
    pub fn record_client(address: SocketAddr) {
        #[cfg(feature = "tracing")]
        tracing::Span::current().record("client", tracing::field::display(address.ip()));
        #[cfg(not(feature = "tracing"))]
        let _ = address;
    }

    /// Returns the client's address in a header of the PROXY protocol, and adds it to the current span. Without an
    /// address in the header, returns that of the socket's peer.
    #[must_use]
    pub fn proxied(header: ProxyHeader, peer: Option<SocketAddr>) -> Option<SocketAddr> {
        header.source.inspect(|&source| Self::record_client(source)).or(peer)
    }

    /// Adds the number of the session to the current span.
    pub fn record_session(session: u64) {
        #[cfg(feature = "tracing")]
        tracing::Span::current().record("session", session);
        #[cfg(not(feature = "tracing"))]
        let _ = session;
    }

    /// Logs that a client could not open its WebSocket. The application receives the error.
    pub fn failed(&self) {
        #[cfg(feature = "tracing")]
        self.in_scope(|| tracing::debug!(target: "websocket", "the opening handshake failed"));
    }

    /// Logs that the WebSocket is open.
    pub(crate) fn opened(&self, encryption: bool) {
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "websocket", parent: self.id(), encryption, "the WebSocket is open");
        #[cfg(not(feature = "tracing"))]
        let _ = encryption;
    }

    /// Logs the end of the connection. The reason of the peer is omitted, because its application has written it.
    pub(crate) fn closed(&self, close_info: &CloseInfo) {
        #[cfg(feature = "tracing")]
        {
            let cause = match (close_info.cause, close_info.initiator) {
                (Cause::Close, Side::Local) => "closed by this end",
                (Cause::Close, Side::Remote) => "closed by the peer",
                (Cause::Protocol(_), _) => "the peer violated the protocol",
                (Cause::Application, _) => "failed by this end",
                (Cause::Timeout(_), _) => "a deadline has passed",
                _ => "the stream has ended without a Close",
            };
            let (code, clean) = (close_info.code.get(), close_info.was_clean);
            tracing::debug!(target: "websocket", parent: self.id(), code, clean, cause, "the connection has ended");
        }
        #[cfg(not(feature = "tracing"))]
        let _ = close_info;
    }

    /// Logs messages that were dropped because the peer reads too slowly: once, until the peer has caught up.
    #[inline]
    pub(crate) fn dropped(&self, outcome: SendOutcome) {
        #[cfg(feature = "tracing")]
        if outcome.lagging || outcome.disconnected {
            self.write_dropped(outcome);
        }
        #[cfg(not(feature = "tracing"))]
        let _ = outcome;
    }

    #[cfg(feature = "tracing")]
    #[cold]
    fn write_dropped(&self, outcome: SendOutcome) {
        let parent = self.id();
        if outcome.disconnected {
            let text = "the peer reads too slowly, and the connection is closed";
            tracing::warn!(target: "websocket", parent: parent, "{text}");
        } else {
            let text = "the peer reads too slowly, and messages are dropped";
            tracing::warn!(target: "websocket", parent: parent, dropped = outcome.dropped, "{text}");
        }
    }

    #[cfg(feature = "tracing")]
    fn id(&self) -> Option<tracing::span::Id> {
        self.span.as_ref()?.id()
    }
}
