use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::fmt;

use super::{Accept, Request, Upgrade};
use crate::{
    Config, Connection, HandshakeError, OriginPolicy, Response, RouteError, Routes, Timestamp, Transmit,
};

type Check = dyn Fn(&Request) -> Result<Accept, Response> + Send + Sync;
type Change = dyn Fn(&mut Config) + Send + Sync;
type Page = dyn Fn(&Request) -> Response + Send + Sync;

/// The routes of a server: handlers for WebSockets and pages, by path.
///
/// It makes decisions and does no I/O, so that servers of any kind can share it. `H` is the type of the handler that
/// the server runs for an open connection.
///
/// ```
/// use bytes::Buf as _;
/// use ws_core::{Config, Timestamp, server::{Handshake, Site, Terms}};
///
/// let mut site = Site::new();
/// site.mount("/echo", Terms::default(), "the echo handler");
/// site.settle()?;
///
/// let mut handshake = Handshake::new(site.config().clone().into(), Timestamp::ZERO);
/// let mut received = *b"GET /nothing HTTP/1.1\r\nHost: example.com\r\n\r\n";
/// let mut request = handshake.receive(&mut &mut received[..])?.unwrap();
/// let refusal = site.answer(&mut request, Timestamp::ZERO).unwrap_err();
/// assert!(refusal.chunk().starts_with(b"HTTP/1.1 404 Not Found\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Site<H> {
    routes: Routes<(Terms, H)>,
    pages: Routes<Box<Page>>,
    config: Config,
    /// The error of the first route that could not be added.
    error: Option<RouteError>,
    /// `true` if each route has its configuration.
    is_settled: bool,
}

impl<H> Default for Site<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H> Site<H> {
    /// Creates a site without routes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            routes: Routes::new(),
            pages: Routes::new(),
            config: Config::default(),
            error: None,
            is_settled: false,
        }
    }

    /// Serves WebSockets on a path. See [`Routes`] for the syntax of paths.
    pub fn mount(&mut self, path: &str, terms: Terms, handler: H) {
        self.is_settled = false;
        let added = self.routes.insert(path, (terms, handler));
        self.error = self.error.take().or_else(|| added.err());
    }

    /// Answers ordinary requests (GET and HEAD) for a path. The path may serve WebSockets too.
    pub fn page(&mut self, path: &str, page: impl Fn(&Request) -> Response + Send + Sync + 'static) {
        let added = self.pages.insert(path, Box::new(page));
        self.error = self.error.take().or_else(|| added.err());
    }

    /// Returns the configuration that all routes are derived from.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the same configuration, for changes before [`settle`](Self::settle).
    pub const fn config_mut(&mut self) -> &mut Config {
        self.is_settled = false;
        &mut self.config
    }

    /// Computes the configuration of each route. Call it after all changes and before the first answer. Until then,
    /// every upgrade is answered with 500.
    ///
    /// # Errors
    ///
    /// Returns the [`RouteError`] of the first route that is malformed or duplicate, at every call.
    pub fn settle(&mut self) -> Result<(), RouteError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        for (terms, _) in self.routes.iter_mut() {
            terms.inherit(&self.config);
        }
        self.is_settled = true;
        Ok(())
    }

    /// Opens the requested connection and sets the request's parameters. The response waits in the connection.
    ///
    /// # Errors
    ///
    /// Returns the response for a request that opens no connection: a page, or an error. Write it and close the
    /// stream.
    pub fn answer(&self, request: &mut Request, now: Timestamp) -> Result<(&H, Connection), Transmit> {
        let answer = if request.is_upgrade() { self.open(request, now) } else { Err(self.show(request)) };
        answer.map_err(|response| request.respond(&response))
    }

    fn open(&self, request: &mut Request, now: Timestamp) -> Result<(&H, Connection), Response> {
        let Some(((terms, handler), parameters)) = self.routes.find(request.path()) else {
            let has_page = self.pages.find(request.path()).is_some();
            return Err(if has_page { only_a_page() } else { not_found() });
        };
        // Without its configuration, a route would open connections with limits other than its own.
        if !self.is_settled {
            return Err(Response::new(500).text("The server failed to answer this request.\n"));
        }
        request.parameters = parameters;
        let opened = match request.upgrade(&terms.config.origin) {
            Ok(upgrade) => {
                let accept = terms.admit(request, &upgrade)?;
                upgrade.accept(&accept, terms.config.clone(), now)
            }
            Err(error) => Err(error),
        };
        opened.map(|connection| (handler, connection)).map_err(|error| error.response())
    }

    fn show(&self, request: &mut Request) -> Response {
        match self.pages.find(request.path()) {
            Some(_) if !matches!(request.method(), "GET" | "HEAD") => {
                Response::new(405).header("Allow", "GET, HEAD").text("This page can only be read.\n")
            }
            Some((page, parameters)) => {
                request.parameters = parameters;
                page(request)
            }
            None if self.routes.find(request.path()).is_some() => HandshakeError::NotAnUpgrade.response(),
            None => not_found(),
        }
    }
}

fn not_found() -> Response {
    Response::new(404).text("Nothing is served on this path.\n")
}

/// RFC 6455 section 4.2.2, item 4: 404 if the requested service is not available.
fn only_a_page() -> Response {
    Response::new(404).text("This path serves a page and no WebSocket: ask for it without an upgrade.\n")
}

impl<H> fmt::Debug for Site<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The conditions for opening a WebSocket on a route, and its configuration.
#[derive(Clone, Default)]
pub struct Terms {
    check: Option<Arc<Check>>,
    changes: Vec<Arc<Change>>,
    subprotocols: Vec<String>,
    config: Arc<Config>,
}

impl Terms {
    /// Sets the supported subprotocols in order of preference. The first one that the client offers is selected.
    #[must_use]
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Checks a request before the connection is opened. The check accepts the request, optionally with a subprotocol
    /// and headers, or answers it with another response.
    #[must_use]
    pub fn check(
        mut self,
        check: impl Fn(&Request) -> Result<Accept, Response> + Send + Sync + 'static,
    ) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    /// Changes the configuration for this route only.
    #[must_use]
    pub fn configure(mut self, change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        self.changes.push(Arc::new(change));
        self
    }

    /// Sets the origin policy.
    #[must_use]
    pub fn origin(self, policy: OriginPolicy) -> Self {
        self.configure(move |config| config.origin = policy.clone())
    }

    fn inherit(&mut self, config: &Config) {
        let mut config = config.clone();
        for change in &self.changes {
            change(&mut config);
        }
        self.config = Arc::new(config);
    }

    fn admit(&self, request: &Request, upgrade: &Upgrade<'_>) -> Result<Accept, Response> {
        let accept = self.check.as_ref().map_or_else(|| Ok(Accept::new()), |check| check(request))?;
        let supported = self.subprotocols.iter().map(String::as_str);
        Ok(match upgrade.choose_subprotocol(supported) {
            Some(chosen) if !accept.has_subprotocol() => accept.subprotocol(chosen),
            _ => accept,
        })
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("subprotocols", &self.subprotocols).finish_non_exhaustive()
    }
}
