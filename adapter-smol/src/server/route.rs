use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
};

use ws_core::{
    Config, OriginPolicy, Response,
    server::{Accept, Request, RouteOptions},
};

use ws_sessions::{Callbacks, CheckError, PeerInfo, SessionGuard, guard};

use crate::WebSocket;

/// The result of a handler. After an error of any type, the connection is closed with 1011.
pub type HandlerResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// The future of a running handler.
pub(super) type Handling = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;
pub(super) type Handler = dyn Fn(Request, WebSocket) -> Handling + Send + Sync;

/// The future of a running check.
pub(super) type Checking = Pin<Box<dyn Future<Output = Result<Accept, Response>> + Send>>;

type SyncCheck = dyn Fn(&Request) -> Result<Accept, Response> + Send + Sync;
type AsyncCheck = dyn Fn(Request) -> Checking + Send + Sync;

/// The code of the application on a path.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) handler: Arc<Handler>,
    check: Check,
}

#[derive(Clone)]
enum Check {
    None,
    Sync(Arc<SyncCheck>),
    Async(Arc<AsyncCheck>),
}

/// The state of a check after it was started.
pub(super) enum Started {
    Ended(Result<Accept, Response>),
    Waits(Checking),
}

impl Endpoint {
    /// Starts the check, if there is one.
    pub(super) fn start_check(&self, request: &Request) -> Result<Started, CheckError> {
        let started = guard(|| match &self.check {
            Check::None => Started::Ended(Ok(Accept::new())),
            Check::Sync(check) => Started::Ended(check(request)),
            Check::Async(check) => Started::Waits(check(request.clone())),
        });
        started.map_err(CheckError::Panicked)
    }
}

/// The service on a path: a handler or [`Callbacks`], with access checks and settings of its own.
///
/// ```
/// use ws_smol::{Accept, Response, Route, Server};
///
/// let chat = Route::new(|request, mut ws| async move {
///     ws.send(format!("welcome to {}", request.parameter("room").unwrap_or_default())).await?;
///     while let Some(message) = ws.receive().await? {
///         ws.send(message).await?;
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
    /// Creates a route to a handler, which runs in a task of its own for each connection. The connection is closed
    /// with 1000 when the handler returns, and with 1011 when it fails or panics.
    pub fn new<H, F>(handler: H) -> Self
    where
        H: Fn(Request, WebSocket) -> F + Send + Sync + 'static,
        F: Future<Output = HandlerResult> + Send + 'static,
    {
        let handler = Arc::new(move |request, ws| -> Handling { Box::pin(handler(request, ws)) });
        Self { endpoint: Endpoint { handler, check: Check::None }, terms: RouteOptions::default() }
    }

    /// Creates a route to callbacks. They run in the task of the connection, so they must not block.
    ///
    /// ```
    /// use ws_smol::{Callbacks, Route, Server, Sessions};
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

    /// Sets the supported subprotocols in the order of preference. The server chooses the first one that the client
    /// also offers.
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.terms = self.terms.subprotocols(names);
        self
    }

    /// Sets a check that runs before the connection is opened. It accepts the request, optionally with a subprotocol,
    /// headers and a [value for the handler](Accept::with), or refuses it with a response. After a panic of the check, the
    /// response is 500.
    ///
    /// The check runs in the task of the connection and must not block. A check that waits belongs in
    /// [`check_async`](Self::check_async).
    ///
    /// ```
    /// use ws_smol::{Accept, Response, Route};
    ///
    /// struct User(String);
    ///
    /// let route = Route::new(|request, ws| async move {
    ///     let User(name) = request.get().ok_or("the check attaches a user")?;
    ///     Ok(ws.send(format!("welcome, {name}")).await?)
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
        self.endpoint.check = Check::Sync(Arc::new(check));
        self
    }

    /// Like [`check`](Self::check), but for a check that waits, for example for a database. The server serves other
    /// connections in the meantime. It replaces any other check of this route.
    ///
    /// The check is dropped and the response is 503 if the opening handshake takes longer than
    /// [`open_timeout`](ws_core::HandshakeConfig::open_timeout), or if the server stops.
    ///
    /// ```
    /// use ws_smol::{Accept, Response, Route};
    ///
    /// struct User(String);
    ///
    /// async fn find_user(token: &str) -> Option<User> {
    ///     # let _ = token;
    ///     None // asks a database
    /// }
    ///
    /// let route = Route::new(|request, ws| async move {
    ///     let User(name) = request.get().ok_or("the check attaches a user")?;
    ///     Ok(ws.send(format!("welcome, {name}")).await?)
    /// })
    /// .check_async(|request| async move {
    ///     let token = request.header("Authorization").unwrap_or_default();
    ///     let user = find_user(token).await.ok_or_else(|| Response::new(401))?;
    ///     Ok(Accept::new().with(user))
    /// });
    /// ```
    pub fn check_async<C, F>(mut self, check: C) -> Self
    where
        C: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Accept, Response>> + Send + 'static,
    {
        self.endpoint.check = Check::Async(Arc::new(move |request| Box::pin(check(request))));
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
async fn run_callbacks(callbacks: Arc<Callbacks>, request: Request, ws: WebSocket) -> HandlerResult {
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
    let ended = poll_fn(|cx| duplex.poll_receive_each(cx, |event| attendance.handle(event))).await;
    attendance.finish(ended)
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("terms", &self.terms).finish_non_exhaustive()
    }
}
