use std::{fmt, sync::Arc};

use ws_core::{
    Config, OriginPolicy, Response,
    server::{Accept, Request, RouteOptions},
};

use ws_sessions::{Callbacks, CheckError, PeerInfo, SessionGuard, guard};

use crate::WebSocket;

/// The result of a handler. After an error of any type, the connection is closed with 1011.
pub type HandlerResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

pub(super) type Handler = dyn Fn(Request, WebSocket) -> HandlerResult + Send + Sync;
type Check = dyn Fn(&Request) -> Result<Accept, Response> + Send + Sync;

/// The code of the application on a path.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) handler: Arc<Handler>,
    check: Option<Arc<Check>>,
}

impl Endpoint {
    /// Runs the check, if there is one.
    pub(super) fn check(&self, request: &Request) -> Result<Accept, CheckError> {
        let Some(check) = &self.check else { return Ok(Accept::new()) };
        guard(|| check(request)).map_err(CheckError::Panicked)?.map_err(CheckError::Refused)
    }
}

/// The handler or the [`Callbacks`] of a path, with access checks and settings.
///
/// ```
/// use ws_std::{Accept, Response, Route, Server};
///
/// let chat = Route::new(|request, mut ws| {
///     ws.send(format!("welcome to {}", request.parameter("room").unwrap_or_default()))?;
///     while let Some(message) = ws.receive()? {
///         ws.send(message)?;
///     }
///     Ok(())
/// })
/// .subprotocols(["v2.chat", "v1.chat"])
/// .check(|request| match request.header("Authorization") {
///     Some(_) => Ok(Accept::new()),
///     None => Err(Response::new(401).header("WWW-Authenticate", "Bearer")),
/// })
/// .configure(|config| config.max_message_size = 4096);
/// let server = Server::new().mount("/rooms/:room", chat);
/// ```
#[derive(Clone)]
#[must_use = "a route serves nothing before it is mounted"]
pub struct Route {
    pub(super) endpoint: Endpoint,
    pub(super) terms: RouteOptions,
}

impl Route {
    /// Creates a route to a handler. Each connection runs the handler in a separate thread. The connection is closed
    /// with 1000 when the handler returns `Ok`, and with 1011 when it returns an error or panics.
    pub fn new<H>(handler: H) -> Self
    where
        H: Fn(Request, WebSocket) -> HandlerResult + Send + Sync + 'static,
    {
        Self {
            endpoint: Endpoint { handler: Arc::new(handler), check: None },
            terms: RouteOptions::default(),
        }
    }

    /// Creates a route to callbacks. Each connection has a separate thread.
    ///
    /// ```
    /// use ws_std::{Callbacks, Route, Server, Sessions};
    ///
    /// let everyone = Sessions::new();
    /// let chat = Callbacks::new()
    ///     .sessions(&everyone.clone())
    ///     .on_message(move |session, message| {
    ///         everyone.broadcast(format!("{}: {message}", session.id()));
    ///     });
    /// let server = Server::new().mount("/chat", Route::callbacks(chat).subprotocols(["chat"]));
    /// ```
    pub fn callbacks(callbacks: Callbacks) -> Self {
        let callbacks = Arc::new(callbacks);
        Self::new(move |request, ws| run_callbacks(callbacks.clone(), request, ws))
    }

    /// Sets the supported subprotocols in order of preference. The server selects the first one that the client
    /// offers.
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.terms = self.terms.subprotocols(names);
        self
    }

    /// Sets a check that runs before the connection is opened. It accepts the request, optionally with a subprotocol,
    /// headers and a [value for the handler](Accept::with), or refuses it with a response. After a panic of the check, the
    /// response is 500.
    ///
    /// ```
    /// use ws_std::{Accept, Response, Route};
    ///
    /// struct User(String);
    ///
    /// let route = Route::new(|request, ws| {
    ///     let User(name) = request.get().ok_or("the check attaches a user")?;
    ///     Ok(ws.send(format!("welcome, {name}"))?)
    /// })
    /// .check(|request| match request.header("X-User") {
    ///     Some(name) => Ok(Accept::new().with(User(name.to_owned()))),
    ///     None => Err(Response::new(401)),
    /// });
    /// ```
    pub fn check<C>(mut self, check: C) -> Self
    where
        C: Fn(&Request) -> Result<Accept, Response> + Send + Sync + 'static,
    {
        self.endpoint.check = Some(Arc::new(check));
        self
    }

    /// Changes the limits, deadlines and keepalive of this route only, after the changes of the server. The limits of the
    /// opening handshake are the same for [all routes](crate::Server::configure_handshake).
    pub fn configure(mut self, change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        self.terms = self.terms.configure(change);
        self
    }

    /// Sets the origin check of this route, which selects the web pages that may connect. Default: the
    /// [policy of the server](crate::Server::origin).
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.terms = self.terms.origin(policy);
        self
    }
}

impl From<Callbacks> for Route {
    fn from(callbacks: Callbacks) -> Self {
        Self::callbacks(callbacks)
    }
}

/// Runs the callbacks until the connection has ended.
fn run_callbacks(callbacks: Arc<Callbacks>, request: Request, ws: WebSocket) -> HandlerResult {
    let peer = PeerInfo {
        path: request.path().to_owned(),
        address: request.peer_addr(),
        local_address: ws.local_addr(),
        subprotocol: ws.subprotocol(),
        request: Some(request),
    };
    let (duplex, _attached) = ws.into_parts();
    let mut attendance = SessionGuard::new(callbacks, duplex.clone(), peer);
    attendance.connect(None);
    let ended = duplex.receive_each(|event| attendance.handle(event));
    attendance.finish(ended)
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("terms", &self.terms).finish_non_exhaustive()
    }
}
