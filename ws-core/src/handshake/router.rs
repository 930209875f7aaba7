use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::fmt;

use super::{Accept, Request, hooks::Hooks, upgrade::AcceptValue};
use crate::{
    Config, Connection, ForwardedHeaders, HandshakeError, OriginPolicy, PathRouter, Response, RouteError,
    Timestamp, Transmit, TrustedProxies,
};

type Change = dyn Fn(&mut Config) + Send + Sync;
type Page = dyn Fn(&Request) -> Response + Send + Sync;

/// Collects the routes and pages of a [`Router`].
pub struct RouterBuilder<H> {
    routes: PathRouter<(Arc<str>, RouteOptions, H)>,
    pages: PathRouter<(Arc<str>, Box<Page>)>,
    config: Config,
    origin: OriginPolicy,
    pub(super) hooks: Hooks,
    forwarded: Option<(ForwardedHeaders, TrustedProxies)>,
    /// The error of the first setting that is invalid.
    pub(super) error: Option<RouteError>,
}

impl<H> Default for RouterBuilder<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H> RouterBuilder<H> {
    /// Creates a builder without routes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            routes: PathRouter::new(),
            pages: PathRouter::new(),
            config: Config::default(),
            origin: OriginPolicy::default(),
            hooks: Hooks::default(),
            forwarded: None,
            error: None,
        }
    }

    /// Serves WebSockets on a path. See [`PathRouter`] for the syntax of paths. [`build`](Self::build) returns the error of a
    /// malformed or duplicate path.
    pub fn route(&mut self, path: &str, options: RouteOptions, handler: H) {
        let added = self.routes.insert(path, (path.into(), options, handler));
        self.error = self.error.take().or_else(|| added.err());
    }

    /// Answers ordinary requests (GET and HEAD) for a path. The path may serve WebSockets too.
    pub fn page(&mut self, path: &str, page: impl Fn(&Request) -> Response + Send + Sync + 'static) {
        let added = self.pages.insert(path, (path.into(), Box::new(page) as Box<Page>));
        self.error = self.error.take().or_else(|| added.err());
    }

    /// Returns the configuration that all routes are derived from, for changes.
    pub const fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Sets the origin policy of routes that do not have [their own](RouteOptions::origin). Default:
    /// [`OriginPolicy::SameHost`].
    pub fn origin(&mut self, policy: OriginPolicy) {
        self.origin = policy;
    }

    /// Trusts the headers of these proxies, see [`Request::apply_forwarded`]. Default: no proxy is trusted.
    pub fn trust_forwarded(&mut self, headers: ForwardedHeaders, proxies: TrustedProxies) {
        self.forwarded = Some((headers, proxies));
    }

    /// Builds the router and computes the configuration of each route.
    ///
    /// # Errors
    ///
    /// Returns the [`RouteError`] of the first route, page or default header that is invalid.
    pub fn build(self) -> Result<Router<H>, RouteError> {
        let Self { routes, pages, config, origin, hooks, forwarded, error } = self;
        if let Some(error) = error {
            return Err(error);
        }
        let routes = routes.map(|(pattern, options, handler)| {
            ConfiguredRoute::new(pattern, options, &config, &origin, handler)
        });
        Ok(Router { routes, pages, config, hooks, forwarded })
    }
}

impl<H> fmt::Debug for RouterBuilder<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The routes of a server: handlers for WebSockets and pages, by path.
///
/// It makes decisions and does no I/O, so that servers of any kind can share it. `H` is the type of the handler that
/// the server runs for an open connection.
///
/// A request is answered in two steps. [`handle`](Self::handle) finds the route and checks the request against RFC 6455
/// and the origin policy. [`RouteMatch::accept`] opens the connection. A check of the application runs between the two
/// steps, for any length of time.
///
/// ```
/// use bytes::Buf as _;
/// use ws_core::{HandshakeConfig, Timestamp, server::{Accept, Handshake, RouterBuilder, RouteOptions}};
///
/// let mut router = RouterBuilder::new();
/// router.route("/echo", RouteOptions::default(), "the echo handler");
/// let router = router.build()?;
///
/// let request = |path: &str| {
///     let head = format!(
///         "GET {path} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
///     );
///     let mut handshake = Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
///     handshake.receive(&mut &mut head.into_bytes()[..])
/// };
/// let mut asked = request("/echo")?.unwrap();
/// let route = router.handle(&mut asked).unwrap();
/// let mut connection = route.accept(&mut asked, Accept::new(), Timestamp::ZERO).unwrap();
/// assert_eq!(*route.handler(), "the echo handler");
/// assert!(connection.transmit().chunk().starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
///
/// let refusal = router.handle(&mut request("/nothing")?.unwrap()).unwrap_err();
/// assert!(refusal.response.chunk().starts_with(b"HTTP/1.1 404 Not Found\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Router<H> {
    routes: PathRouter<ConfiguredRoute<H>>,
    pages: PathRouter<(Arc<str>, Box<Page>)>,
    config: Config,
    pub(super) hooks: Hooks,
    forwarded: Option<(ForwardedHeaders, TrustedProxies)>,
}

/// A route with everything that follows from its options.
struct ConfiguredRoute<H> {
    pattern: Arc<str>,
    config: Arc<Config>,
    origin: OriginPolicy,
    subprotocols: Vec<String>,
    handler: H,
}

impl<H> ConfiguredRoute<H> {
    fn new(
        pattern: Arc<str>,
        options: RouteOptions,
        config: &Config,
        origin: &OriginPolicy,
        handler: H,
    ) -> Self {
        let mut config = config.clone();
        for change in &options.changes {
            change(&mut config);
        }
        let origin = options.origin.unwrap_or_else(|| origin.clone());
        Self { pattern, config: Arc::new(config), origin, subprotocols: options.subprotocols, handler }
    }
}

/// A request that opens no WebSocket.
#[derive(Debug)]
pub struct Refusal<'s> {
    /// The bytes to write before the stream is closed: a page, or an error.
    pub response: Transmit,
    /// The configuration for the response: that of the route, or that of the router if no route matched. Its
    /// `close_timeout` and `write_timeout` limit the wait for the client.
    pub config: &'s Config,
}

impl<H> Router<H> {
    /// Returns the configuration that all routes are derived from.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Applies the headers of [trusted proxies](RouterBuilder::trust_forwarded), finds the route of a request for a
    /// WebSocket, validates the request, and sets its parameters.
    /// [`RouteMatch::accept`] then opens the connection.
    ///
    /// # Errors
    ///
    /// Returns the [`Refusal`] of a request that opens no connection: a page, or an error. Write its response and close the
    /// stream.
    pub fn handle(&self, request: &mut Request) -> Result<RouteMatch<'_, H>, Refusal<'_>> {
        if let Some((headers, proxies)) = &self.forwarded
            && let Err(error) = request.apply_forwarded(*headers, proxies)
        {
            return Err(self.refusal(None, request, error.response()));
        }
        if !request.is_upgrade() {
            let response = self.show(request);
            return Err(Refusal { response, config: &self.config });
        }
        let route = self.routes.find(request.path()).map(|(route, parameters)| {
            request.parameters = parameters;
            request.route = Some(route.pattern.clone());
            route
        });
        if let Err(response) = self.hooks.check(request) {
            return Err(self.refusal(route, request, response));
        }
        let Some(route) = route else {
            let has_page = self.pages.find(request.path()).is_some();
            let response = if has_page { only_a_page() } else { not_found() };
            return Err(self.refusal(None, request, response));
        };
        match request.upgrade(&route.origin).and_then(|upgrade| upgrade.accept_value()) {
            Ok(accept_value) => Ok(RouteMatch { router: self, route, accept_value }),
            Err(error) => Err(self.refusal(Some(route), request, error.response())),
        }
    }

    fn refusal<'s>(
        &'s self,
        route: Option<&'s ConfiguredRoute<H>>,
        request: &Request,
        response: Response,
    ) -> Refusal<'s> {
        let config = route.map_or(&self.config, |route| &*route.config);
        Refusal { response: self.refuse(Some(request), response), config }
    }

    /// Returns the answer to a request for a page.
    fn show(&self, request: &mut Request) -> Transmit {
        let page = self.pages.find(request.path()).map(|((pattern, page), parameters)| {
            request.parameters = parameters;
            request.route = Some(pattern.clone());
            page
        });
        if let Err(response) = self.hooks.check(request) {
            return self.refuse(Some(request), response);
        }
        let error = match page {
            Some(page) if matches!(request.method(), "GET" | "HEAD") => {
                return self.respond(Some(request), page(request));
            }
            Some(_) => Response::new(405).header("Allow", "GET, HEAD").text("This page can only be read.\n"),
            None if self.routes.find(request.path()).is_some() => HandshakeError::NotAnUpgrade.response(),
            None => not_found(),
        };
        self.refuse(Some(request), error)
    }
}

fn not_found() -> Response {
    Response::new(404).text("Nothing is served on this path.\n")
}

/// RFC 6455 section 4.2.2, item 4: 404 if the requested service is not available.
fn only_a_page() -> Response {
    Response::new(404).text("This path serves a page and no WebSocket: ask for it without an upgrade.\n")
}

impl<H> fmt::Debug for Router<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The route of a valid request for a WebSocket. The application can accept the request, or refuse it with a response of
/// its own.
pub struct RouteMatch<'s, H> {
    router: &'s Router<H>,
    route: &'s ConfiguredRoute<H>,
    accept_value: AcceptValue,
}

impl<'s, H> RouteMatch<'s, H> {
    /// Returns the handler of the route.
    #[must_use]
    pub const fn handler(&self) -> &'s H {
        &self.route.handler
    }

    /// Returns the router that found the route.
    #[must_use]
    pub const fn router(&self) -> &'s Router<H> {
        self.router
    }

    /// Returns the configuration of the route.
    #[must_use]
    pub fn config(&self) -> &'s Config {
        &self.route.config
    }

    /// Opens the connection and moves the [values](Accept::with) of `accept` to the request. The response waits in the
    /// connection. `request` is the request that [`Router::handle`] has matched. If `accept` has no subprotocol, the route
    /// selects one.
    ///
    /// # Errors
    ///
    /// Returns the bytes to write before the stream is closed. The status is 500 if `accept` has a subprotocol that the
    /// client does not offer or a header that cannot be sent, and 400 if the client's list of extensions is malformed.
    pub fn accept(
        &self,
        request: &mut Request,
        accept: Accept,
        now: Timestamp,
    ) -> Result<Connection, Transmit> {
        let mut accept = self.router.hooks.complete(request, accept);
        if !accept.has_subprotocol() {
            let supported = self.route.subprotocols.iter().map(String::as_str);
            accept.subprotocol = request.choose_subprotocol(supported).map(String::from);
        }
        match request.open(&self.accept_value, &accept, self.route.config.clone(), now) {
            Ok(connection) => {
                request.values.extend(accept.values);
                request.accepted = None;
                Ok(connection)
            }
            Err(error) => Err(self.router.refuse(Some(request), error.response())),
        }
    }
}

impl<H> Clone for RouteMatch<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for RouteMatch<'_, H> {}

impl<H> fmt::Debug for RouteMatch<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteMatch").field("config", &self.route.config).finish_non_exhaustive()
    }
}

/// The conditions for opening a WebSocket on a route, and its configuration.
#[derive(Clone, Default)]
pub struct RouteOptions {
    changes: Vec<Arc<Change>>,
    subprotocols: Vec<String>,
    origin: Option<OriginPolicy>,
}

impl RouteOptions {
    /// Sets the supported subprotocols in order of preference. The first one that the client offers is selected.
    #[must_use]
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Changes the configuration for this route only.
    #[must_use]
    pub fn configure(mut self, change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        self.changes.push(Arc::new(change));
        self
    }

    /// Sets the origin policy. Default: the policy of [the router](RouterBuilder::origin).
    #[must_use]
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.origin = Some(policy);
        self
    }
}

impl fmt::Debug for RouteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteOptions")
            .field("subprotocols", &self.subprotocols)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
