//! Errors of a server's connections, for the application to log and count.

use std::{
    error, fmt, io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use bytes::Buf as _;
use ws_core::{
    Cause, CloseInfo, Connection, Response, State, Timestamp, Transmit,
    server::{Accept, Refusal, Request, RouteMatch, Router},
};
use ws_transport::{ConnectionSpan, Error};

use crate::{Panicked, ServerMetrics, excerpt::TextExcerpt, guard, log};

/// An error of one connection of a server. [`Server::on_error`] receives it.
///
/// Its `Display` output is one line for a log.
///
/// [`Server::on_error`]: https://docs.rs/ws-std/latest/ws_std/struct.Server.html#method.on_error
#[non_exhaustive]
pub struct ConnectionError {
    /// The kind of the error.
    pub kind: ConnectionErrorKind,
    /// The peer's address, if it has one.
    pub peer_addr: Option<SocketAddr>,
    /// The path of the request. `None` if no request was received.
    pub path: Option<String>,
    /// The error: that of the handler, an [`Error`], or a [`Panicked`].
    pub error: Box<dyn error::Error + Send + Sync>,
}

/// The kind of a [`ConnectionError`]. [`ServerStats`](crate::ServerStats) contains a counter for each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionErrorKind {
    /// The TLS handshake failed, or the peer violated TLS later.
    Tls,
    /// The server refused a request or a client. The request was malformed or late, a check refused it, no route has its
    /// path, or the client was not admitted. Then the error is a [`RefusalReason`](ws_transport::RefusalReason).
    Refused,
    /// A handler returned an error. The server closed the connection with 1011.
    Handler,
    /// A handler, check, page or callback panicked.
    Panic,
    /// The peer violated the WebSocket protocol.
    Protocol,
    /// The peer was lost: the stream broke, a deadline passed, or the peer closed with a code such as 1011.
    Disconnected,
}

impl ConnectionErrorKind {
    /// Returns the kind as one word, such as `handler`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Refused => "refused",
            Self::Handler => "handler",
            Self::Panic => "panic",
            Self::Protocol => "protocol",
            Self::Disconnected => "disconnected",
        }
    }

    /// Returns the kind of a connection's error.
    #[must_use]
    pub const fn of(error: &Error) -> Self {
        match error {
            Error::Tls(_) => Self::Tls,
            Error::Handshake(_) => Self::Refused,
            Error::Protocol(_) => Self::Protocol,
            _ => Self::Disconnected,
        }
    }
}

impl fmt::Display for ConnectionErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(peer_addr) = self.peer_addr {
            write!(f, ", client {peer_addr}")?;
        }
        if let Some(path) = &self.path {
            write!(f, ", path {path}")?;
        }
        write!(f, ": {}", self.error)
    }
}

impl fmt::Debug for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionError")
            .field("kind", &self.kind)
            .field("peer_addr", &self.peer_addr)
            .field("path", &self.path.as_deref().map(TextExcerpt))
            .field("error", &self.error)
            .finish()
    }
}

impl error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        // The `Display` output already contains the text of the error. A report of the error chain would print it
        // twice.
        self.error.source()
    }
}

/// The peer and the path of a connection. Its error reports contain them.
#[derive(Clone, Default)]
pub struct Origin {
    /// The peer's address.
    pub peer_addr: Option<SocketAddr>,
    /// The path of the request.
    pub path: Option<String>,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("peer_addr", &self.peer_addr)
            .field("path", &self.path.as_deref().map(TextExcerpt))
            .finish()
    }
}

/// The reason why a check of the application has not accepted a request.
#[derive(Debug)]
pub enum CheckError {
    /// The check has answered the request.
    Refused(Response),
    /// The check has panicked.
    Panicked(Panicked),
    /// The check did not end in time.
    TimedOut,
    /// The server stops.
    Stopping,
}

type OnConnectionError = dyn Fn(&ConnectionError) + Send + Sync;

/// The error hook and the counters of a server.
#[derive(Default)]
pub struct Reporter {
    monitor: ServerMetrics,
    hook: Option<Box<OnConnectionError>>,
    /// `true` if a stop has begun.
    is_stopping: AtomicBool,
}

impl Reporter {
    /// Sets the error hook.
    pub fn set_hook(&mut self, hook: impl Fn(&ConnectionError) + Send + Sync + 'static) {
        self.hook = Some(Box::new(hook));
    }

    /// Returns the counters.
    #[must_use]
    pub const fn monitor(&self) -> &ServerMetrics {
        &self.monitor
    }

    /// Returns the origin of a connection if an error hook is set. The origin is boxed, so that a connection without a
    /// hook stores only a pointer.
    #[must_use]
    pub fn origin(&self, request: &Request) -> Option<Box<Origin>> {
        let origin = || Origin { peer_addr: request.peer_addr(), path: Some(request.path().to_owned()) };
        self.hook.is_some().then(|| Box::new(origin()))
    }

    /// Logs that the server listens on these addresses. There are none for a Unix-domain socket.
    pub fn started(&self, addresses: &[SocketAddr]) {
        if addresses.is_empty() {
            log::started(None);
        }
        addresses.iter().for_each(|&address| log::started(Some(address)));
    }

    /// Logs that a stop has begun. Only the first call has an effect. Call it without holding a lock.
    pub fn stopping(&self) {
        if !self.is_stopping.swap(true, Relaxed) {
            log::stopping(self.monitor.connections());
        }
    }

    /// Logs that the server has stopped.
    pub fn stopped(&self) {
        log::stopped();
    }

    /// Counts an error, logs it, and passes it to the hook. Call it without holding a lock.
    pub fn report(
        &self,
        kind: ConnectionErrorKind,
        origin: Option<&Origin>,
        error: impl Into<Box<dyn error::Error + Send + Sync>>,
    ) {
        self.monitor.count_error(kind);
        let error = error.into();
        log::error(kind, origin, &*error);
        if let Some(hook) = &self.hook {
            let Origin { peer_addr, path } = origin.cloned().unwrap_or_default();
            let error = ConnectionError { kind, peer_addr, path, error };
            // There is no other place to report a panic of the hook.
            let _ = guard(|| hook(&error));
        }
    }

    /// Finds the route of a request like [`Router::handle`], and catches panics of the application's pages and hooks. After
    /// a panic, the answer is 500.
    ///
    /// # Errors
    ///
    /// Returns the bytes of the answer if no connection is opened. Close the stream after writing them.
    pub fn answer<'s, H>(
        &self,
        router: &'s Router<H>,
        request: &mut Request,
    ) -> Result<RouteMatch<'s, H>, Refusal<'s>> {
        ConnectionSpan::record_path(request.path());
        let peer = request.peer_addr();
        let handled = guard(|| router.handle(request));
        if let Some(client) = request.peer_addr().filter(|_| request.peer_addr() != peer) {
            ConnectionSpan::record_client(client);
        }
        match handled {
            Ok(Err(refusal)) => {
                if request.is_upgrade() {
                    self.report_refusal(request, &refusal.response);
                } else {
                    self.monitor.count_page();
                    log::page();
                }
                Err(refusal)
            }
            Ok(found) => found,
            Err(panicked) => {
                Err(Refusal { response: self.panicked(router, request, panicked), config: router.config() })
            }
        }
    }

    /// Opens the connection if the check of the application has accepted the request.
    ///
    /// # Errors
    ///
    /// Returns the bytes to answer, after which to close: the response of the check, 500 after a panic, 503 if the check
    /// took too long or the server stops.
    pub fn accept<H>(
        &self,
        found: &RouteMatch<'_, H>,
        request: &mut Request,
        checked: Result<Accept, CheckError>,
        now: Timestamp,
    ) -> Result<Connection, Transmit> {
        let router = found.router();
        let response = match checked {
            Ok(accept) => match guard(|| found.accept(request, accept, now)) {
                Ok(Ok(connection)) => {
                    self.monitor.count_accepted();
                    return Ok(connection);
                }
                Ok(Err(response)) => response,
                Err(panicked) => return Err(self.panicked(router, request, panicked)),
            },
            Err(CheckError::Refused(response)) => self.refuse(router, Some(request), response),
            Err(CheckError::Panicked(panicked)) => return Err(self.panicked(router, request, panicked)),
            Err(CheckError::TimedOut) => {
                let error = "the check did not end within the open timeout";
                self.report(ConnectionErrorKind::Refused, self.origin(request).as_deref(), error);
                return Err(self.refuse_busy(router, Some(request)));
            }
            Err(CheckError::Stopping) => return Err(self.refuse_stopping(router, request)),
        };
        self.report_refusal(request, &response);
        Err(response)
    }

    /// Reports a client whose socket the application could not configure. The client is disconnected.
    pub fn report_unconfigured(&self, peer: Option<SocketAddr>, error: &io::Error) {
        let origin = Origin { peer_addr: peer, path: None };
        let error = format!("the socket of the client could not be configured: {error}");
        self.report(ConnectionErrorKind::Refused, Some(&origin), error);
    }

    /// Reports that a request for a WebSocket is answered with something else.
    fn report_refusal(&self, request: &Request, response: &Transmit) {
        let error = format!("the request was answered with {}", summary(response.chunk()));
        self.report(ConnectionErrorKind::Refused, self.origin(request).as_deref(), error);
    }

    /// Reports a panic of a page, check or hook, and returns the answer to its request.
    fn panicked<H>(&self, router: &Router<H>, request: &Request, panicked: Panicked) -> Transmit {
        self.report(ConnectionErrorKind::Panic, self.origin(request).as_deref(), panicked);
        self.refuse(router, Some(request), failed())
    }

    /// Returns the bytes of a response that refuses a request, like [`Router::refuse`], and catches panics of the error
    /// page. After a panic, the response is 500.
    #[must_use]
    pub fn refuse<H>(&self, router: &Router<H>, request: Option<&Request>, response: Response) -> Transmit {
        guard(|| router.refuse(request, response)).unwrap_or_else(|panicked| {
            let origin = request.and_then(|request| self.origin(request));
            self.report(ConnectionErrorKind::Panic, origin.as_deref(), panicked);
            router.respond(request, failed())
        })
    }

    /// Returns the answer to a client that the server cannot serve now. `request` is `None` if it was not received.
    #[must_use]
    pub fn refuse_busy<H>(&self, router: &Router<H>, request: Option<&Request>) -> Transmit {
        let response = Response::new(503).header("Retry-After", "5");
        self.refuse(router, request, response.text("The server is busy; try again later.\n"))
    }

    /// Returns and reports the answer to a request that arrives while the server stops.
    #[must_use]
    pub fn refuse_stopping<H>(&self, router: &Router<H>, request: &Request) -> Transmit {
        let error = "the server stops";
        self.report(ConnectionErrorKind::Refused, self.origin(request).as_deref(), error);
        // Another server may already listen on the address.
        let response = Response::new(503).header("Retry-After", "1");
        self.refuse(router, Some(request), response.text("The server is stopping; try again.\n"))
    }

    /// Reports the error of a handler. If the error is the end of the handler's connection, this returns the error
    /// instead, and [`report_end`](Self::report_end) reports it later.
    pub fn report_handler(
        &self,
        error: Box<dyn error::Error + Send + Sync>,
        origin: Option<&Origin>,
        state: State,
    ) -> Option<Error> {
        let kind = match error.downcast::<Error>() {
            Ok(error) if state != State::Open => return Some(*error),
            Ok(error) => {
                self.report(ConnectionErrorKind::Handler, origin, error);
                return None;
            }
            Err(error) if error.is::<Panicked>() => (ConnectionErrorKind::Panic, error),
            Err(error) => (ConnectionErrorKind::Handler, error),
        };
        self.report(kind.0, origin, kind.1);
        None
    }

    /// Counts the end of a connection, and reports it if it is not normal. `error` is the error that the application
    /// received about it.
    pub fn report_end(&self, close_info: CloseInfo, error: Option<Error>, origin: Option<&Origin>) {
        self.monitor.count_end(close_info.is_normal());
        // The application has failed the connection itself, so it needs no report.
        if close_info.is_normal() || close_info.cause == Cause::Application {
            return;
        }
        let error = match error {
            Some(error @ (Error::Io(_) | Error::Tls(_))) => error,
            _ => Error::of_end(close_info),
        };
        self.report(ConnectionErrorKind::of(&error), origin, error);
    }
}

/// Returns the response after a panic.
fn failed() -> Response {
    Response::new(500).text("The server failed to answer this request.\n")
}

/// Returns the status of a response. If the body is plain text, its first line follows as the reason.
fn summary(response: &[u8]) -> String {
    /// Maximum number of characters of the body in the summary. The texts of the core are shorter.
    const MAX_SHOWN: usize = 1000;
    let response = String::from_utf8_lossy(response);
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let status = head.lines().next().and_then(|line| line.get(9..)).unwrap_or_default();
    let reason = body.lines().next().unwrap_or_default().trim().trim_end_matches('.');
    if reason.is_empty() || !head.contains("text/plain") {
        return status.to_owned();
    }
    let mut summary = format!("{status}: ");
    for char in reason.chars().take(MAX_SHOWN) {
        match char {
            '"' | '\'' | '\\' => summary.push(char),
            char => summary.extend(char.escape_debug()),
        }
    }
    summary
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("monitor", &self.monitor).finish_non_exhaustive()
    }
}
