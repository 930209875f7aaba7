use std::{fmt, sync::Arc};

use ws_core::{
    Config, OriginPolicy, Response,
    server::{Accept, Upgrade},
};

use super::Request;
use crate::WebSocket;

/// What a handler returns. Any error will do; the connection is then closed with 1011.
pub type HandlerResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

type Handler = dyn Fn(Request, WebSocket) -> HandlerResult + Send + Sync;
type Check = dyn Fn(&Request) -> Result<Accept, Response> + Send + Sync;
type Change = dyn Fn(&mut Config) + Send + Sync;

/// What is served on a path: a handler, and who may reach it under which terms.
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
    handler: Arc<Handler>,
    check: Option<Arc<Check>>,
    change: Vec<Arc<Change>>,
    subprotocols: Vec<String>,
    /// The server's configuration with this route's changes, once the server is bound.
    config: Arc<Config>,
}

impl Route {
    /// A route to this handler. It runs in a thread of its own for each connection. When it returns, the
    /// connection is closed with 1000; when it fails or panics, with 1011.
    pub fn new<H>(handler: H) -> Self
    where
        H: Fn(Request, WebSocket) -> HandlerResult + Send + Sync + 'static,
    {
        Self {
            handler: Arc::new(handler),
            check: None,
            change: Vec::new(),
            subprotocols: Vec::new(),
            config: Arc::new(Config::default()),
        }
    }

    /// The subprotocols that are served here, those preferred first: the first that a client offers is
    /// chosen.
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Looks at a request before the connection is opened: accepts it, perhaps with a subprotocol and
    /// headers, or answers it with a response of its own.
    pub fn check<C>(mut self, check: C) -> Self
    where
        C: Fn(&Request) -> Result<Accept, Response> + Send + Sync + 'static,
    {
        self.check = Some(Arc::new(check));
        self
    }

    /// Changes limits, deadlines and keepalive for this route alone.
    pub fn configure(mut self, change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        self.change.push(Arc::new(change));
        self
    }

    /// Which pages may connect here; those of the same host by default.
    pub fn origin(self, policy: OriginPolicy) -> Self {
        self.configure(move |config| config.origin = policy.clone())
    }

    /// Settles the configuration, when that of the server is known.
    pub(super) fn inherit(&mut self, server: &Config) {
        let mut config = server.clone();
        for change in &self.change {
            change(&mut config);
        }
        self.config = Arc::new(config);
    }

    pub(super) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Whether and how to open the connection that is asked for.
    pub(super) fn admit(&self, request: &Request, upgrade: &Upgrade<'_>) -> Result<Accept, Response> {
        let accept = self.check.as_ref().map_or_else(|| Ok(Accept::new()), |check| check(request))?;
        let supported = self.subprotocols.iter().map(String::as_str);
        Ok(match upgrade.choose_subprotocol(supported) {
            Some(chosen) if !accept.has_subprotocol() => accept.subprotocol(chosen),
            _ => accept,
        })
    }

    pub(super) fn handle(&self, request: Request, ws: WebSocket) -> HandlerResult {
        (self.handler)(request, ws)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("subprotocols", &self.subprotocols)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
