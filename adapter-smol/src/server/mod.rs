mod accepting;
mod connection;
mod handle;
mod listener;
mod route;
mod shared;
mod signals;
mod streams;

use std::{
    fmt, future::Future, net::ToSocketAddrs, os::fd::OwnedFd, path::Path, pin::Pin, sync::Arc, time::Duration,
};

use ws_core::{
    Config, ForwardedHeaders, HandshakeConfig, OriginPolicy, Response, TrustedProxies,
    server::{Accept, Request, Router, RouterBuilder},
};
use ws_sessions::{
    AdmissionCheck, AdmissionDecision, Arrival, ConnectionError, Gate, Reporter, ServerMetrics,
};
use ws_transport::{
    AdmissionLimits, Error, ListenOptions, ListeningSocket,
    tls::{ServerTlsConfig, rustls},
};

pub use handle::ServerHandle;
pub use listener::Listener;
pub use route::{HandlerResult, Route};
pub(crate) use signals::{Attached, AttachedReceiver, Signals};
pub use streams::StreamServer;

use self::route::Endpoint;
use crate::WebSocket;

/// Default of the maximum number of connections, if the file descriptors of the process allow it.
const MAX_CONNECTIONS: usize = 65_536;

/// The task of a connection. A spawner runs it to completion.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

type Spawner = dyn Fn(Task) + Send + Sync;

/// Serves WebSockets and a few web pages on one port.
///
/// Each connection has a task. By default, all tasks run inside [`Listener::serve`], on the thread and executor that
/// run it. Use [`spawner`](Self::spawner) to distribute them over an executor of the application.
///
/// ```no_run
/// # async fn run() -> Result<(), ws_smol::Error> {
/// use ws_smol::Server;
///
/// Server::new()
///     .route("/echo", |_request, mut ws| async move {
///         while let Some(message) = ws.receive().await? {
///             ws.send(message).await?;
///         }
///         Ok(())
///     })
///     .listen("127.0.0.1:9001")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a server does nothing before `listen` or `bind`"]
pub struct Server {
    router: RouterBuilder<Endpoint>,
    handshake: HandshakeConfig,
    settings: Settings,
    tls: Option<ServerTlsConfig>,
    spawner: Option<Box<Spawner>>,
    admission_check: AdmissionCheck,
    reporter: Reporter,
    proxy_protocol: TrustedProxies,
}

/// A bound server, as its listener runs it. Its settings are valid.
struct BoundServer {
    router: Router<Endpoint>,
    handshake: HandshakeConfig,
    settings: Settings,
    tls_config: Option<Arc<rustls::ServerConfig>>,
    spawner: Option<Box<Spawner>>,
    gate: Gate,
    reporter: Reporter,
    proxy_protocol: TrustedProxies,
}

/// Settings of all connections, except the protocol configuration.
#[derive(Clone, Debug, Default)]
struct Settings {
    admission: AdmissionLimits,
    read_timeout: Option<Duration>,
    listen: ListenOptions,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// Creates a server without routes.
    pub fn new() -> Self {
        Self {
            router: RouterBuilder::new(),
            handshake: HandshakeConfig::default(),
            settings: Settings::default(),
            tls: None,
            spawner: None,
            admission_check: AdmissionCheck::default(),
            reporter: Reporter::default(),
            proxy_protocol: TrustedProxies::new(),
        }
    }

    /// Serves WebSockets on a path such as `/echo`, `/rooms/:room` or `/files/*`. See [`PathRouter`](ws_core::PathRouter) for
    /// the patterns, and [`Route`] for options beyond a handler.
    pub fn route<H, F>(self, path: &str, handler: H) -> Self
    where
        H: Fn(Request, WebSocket) -> F + Send + Sync + 'static,
        F: Future<Output = HandlerResult> + Send + 'static,
    {
        self.mount(path, Route::new(handler))
    }

    /// Serves WebSockets on a path with a [`Route`], which has callbacks or options of its own.
    pub fn mount(mut self, path: &str, route: impl Into<Route>) -> Self {
        let route = route.into();
        self.router.route(path, route.terms, route.endpoint);
        self
    }

    /// Answers ordinary HTTP requests (GET and HEAD) on a path, which may also serve WebSockets. Use it for a health
    /// check or a small page. It does not replace a web server.
    pub fn page<P>(mut self, path: &str, page: P) -> Self
    where
        P: Fn(&Request) -> Response + Send + Sync + 'static,
    {
        self.router.page(path, page);
        self
    }

    /// Sets a check that runs before every route and page, for each request that is valid HTTP. It runs before the origin
    /// check and before the [check of a route](Route::check). It accepts the request, optionally with headers and
    /// [values](Accept::with), or refuses it with a response. After a panic of the check, the response is 500.
    ///
    /// Its headers are added to the response of the request, whichever that is. Pages, the check of the route, handlers
    /// and sessions find its values in the request. The check runs in the task of the connection and must not block.
    ///
    /// ```
    /// use ws_smol::{Accept, Response, Server};
    ///
    /// struct User(String);
    ///
    /// let server = Server::new().check(|request| match request.cookie("session") {
    ///     _ if request.route() == Some("/health") => Ok(Accept::new()),
    ///     Some(session) => Ok(Accept::new().with(User(session.to_owned()))),
    ///     None => Err(Response::new(401)),
    /// });
    /// ```
    pub fn check<C>(mut self, check: C) -> Self
    where
        C: Fn(&Request) -> Result<Accept, Response> + Send + Sync + 'static,
    {
        self.router.check(check);
        self
    }

    /// Adds a header to all responses that do not have a header of this name: those that open a WebSocket, pages, and
    /// errors. [`bind`](Self::bind) returns an error if the header cannot be sent.
    pub fn default_header(mut self, name: &str, value: &str) -> Self {
        self.router.default_header(name, value);
        self
    }

    /// Sets a function that changes each response by which the server refuses a client: its own, such as 404, 426 and
    /// 503, and those of checks, but not [pages](Self::page). It receives `None` if no valid request was received, for
    /// example because the server has too many connections. It must not block. After a panic, the response is 500.
    ///
    /// ```
    /// use ws_smol::Server;
    ///
    /// let server = Server::new().error_page(|_request, response| match response.status() {
    ///     404 => response.html("<h1>There is nothing here</h1>"),
    ///     _ => response,
    /// });
    /// ```
    pub fn error_page<P>(mut self, error_page: P) -> Self
    where
        P: Fn(Option<&Request>, Response) -> Response + Send + Sync + 'static,
    {
        self.router.error_page(error_page);
        self
    }

    /// Changes the limits, deadlines and keepalive of all connections. A route can [change](Route::configure) them again.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(self.router.config_mut());
        self
    }

    /// Changes the limits of the opening handshake, such as its timeout. They apply before the path of a request is
    /// known, so they are the same for all routes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ws_smol::Server;
    ///
    /// let server = Server::new()
    ///     .configure_handshake(|limits| limits.open_timeout = Some(Duration::from_secs(3)));
    /// ```
    pub fn configure_handshake(mut self, change: impl FnOnce(&mut HandshakeConfig)) -> Self {
        change(&mut self.handshake);
        self
    }

    /// Sets the origin check, which selects the web pages that may connect. A route can have [its own](Route::origin).
    /// Default: pages of the same host.
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.router.origin(policy);
        self
    }

    /// Sets the maximum number of simultaneous connections, including opening handshakes. Further clients receive a 503
    /// response with `Retry-After`. With 0, every client is refused. [`bind`](Self::bind) returns an error if the number
    /// exceeds the file descriptors of the process. Default: as many as these allow (`RLIMIT_NOFILE` minus 128), but at
    /// most 65,536. [`Listener::max_connections`] returns the number.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.settings.admission.max_connections = Some(most);
        self
    }

    /// Changes the limits for the clients that the server admits: connections in all and per address, opening handshakes
    /// in progress, and handshakes per second. Refused clients receive a 503 response with `Retry-After`, and
    /// [`ServerStats::admission`](crate::ServerStats::admission) counts them by reason.
    ///
    /// ```
    /// use ws_smol::Server;
    ///
    /// let server = Server::new().admission_limits(|limits| {
    ///     limits.max_connections_per_address = Some(100);
    ///     limits.max_handshake_rate_per_address = Some(20);
    ///     limits.max_handshakes = Some(500);
    /// });
    /// ```
    pub fn admission_limits(mut self, change: impl FnOnce(&mut AdmissionLimits)) -> Self {
        change(&mut self.settings.admission);
        self
    }

    /// Sets a check of each client that has just connected, before the TLS handshake, a task, or a byte of its request.
    /// The limits of [`admission_limits`](Self::admission_limits) apply first.
    ///
    /// The check runs in the task that accepts, so it must not block. If it panics, the client receives a 500 response.
    ///
    /// ```
    /// use std::net::IpAddr;
    /// use ws_smol::{AdmissionDecision, Server};
    ///
    /// let blocked: IpAddr = "203.0.113.7".parse().unwrap();
    /// let server = Server::new().admission_check(move |client| match client.peer_addr {
    ///     Some(address) if address.ip() == blocked => AdmissionDecision::Close,
    ///     _ => AdmissionDecision::Admit,
    /// });
    /// ```
    pub fn admission_check(
        mut self,
        check: impl Fn(&Arrival) -> AdmissionDecision + Send + Sync + 'static,
    ) -> Self {
        self.admission_check = AdmissionCheck::new(check);
        self
    }

    /// Sets the memory limit of the server in bytes. It applies to the sum of all messages that are being received, of all
    /// output that is not written, and of all responses that are being sent. When the limit is exceeded, the connection
    /// that uses the most is closed with 1013 (Try Again Later), and the largest response is cut. Among equals, that is
    /// the oldest. If a connection has 16 KiB of output or more to write, the output is dropped and the connection ends
    /// without a Close. `usize::MAX` means no limit. Default: 256 MiB.
    ///
    /// Memory counts in steps of 16 KiB, and a connection with less than one step does not count. Broadcast messages and
    /// pages whose memory is shared do not count either. [`Server::monitor`] returns the present memory and the number of
    /// closed connections.
    pub fn memory_limit(self, bytes: usize) -> Self {
        self.reporter.monitor().memory().budget().set_limit(bytes);
        self
    }

    /// Sets the maximum time for which [`receive`](WebSocket::receive) waits for a message in a handler. It has no effect on
    /// routes with callbacks: use [keepalive](Config::keepalive) there. Default: `None`, which means no limit.
    pub fn read_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.settings.read_timeout = timeout;
        self
    }

    /// Sets the maximum pause during which a peer reads none of the output, see [`Config::write_timeout`]. Default:
    /// 30 seconds.
    pub fn write_timeout(self, timeout: Option<Duration>) -> Self {
        self.configure(|config| config.write_timeout = timeout)
    }

    /// Changes the options of the listening socket and of the connections that it accepts: the backlog, `SO_REUSEPORT`,
    /// `TCP_NODELAY` and others. For a socket that is passed to [`bind_socket`](Self::bind_socket), only `nodelay`,
    /// `notsent_lowat` and, for accepted connections, [`SocketOptions::configure`](crate::SocketOptions::configure) have an
    /// effect.
    pub fn listen_options(mut self, change: impl FnOnce(&mut ListenOptions)) -> Self {
        change(&mut self.settings.listen);
        self
    }

    /// Calls `hook` for each error of a connection: a handler that returned an error, a panic, a failed TLS
    /// handshake, a refused request, or a lost peer. Without a hook, errors are only [counted](Self::monitor), and
    /// nothing is printed.
    ///
    /// The hook runs in the task that found the error, so it must not block. Use it to send a [`ConnectionError`] to
    /// a logger.
    ///
    /// ```
    /// use ws_smol::Server;
    ///
    /// let server = Server::new().on_error(|error| eprintln!("{error}"));
    /// ```
    pub fn on_error(mut self, hook: impl Fn(&ConnectionError) + Send + Sync + 'static) -> Self {
        self.reporter.set_hook(hook);
        self
    }

    /// Returns a handle to the counters of the server: connections, errors, messages and bytes.
    ///
    /// ```
    /// use ws_smol::{Response, Server, ServerStats};
    ///
    /// let server = Server::new();
    /// let monitor = server.monitor();
    /// let server = server.page("/metrics", move |_request| {
    ///     let text = monitor.stats().to_prometheus();
    ///     Response::new(200).header("Content-Type", ServerStats::PROMETHEUS).body(text)
    /// });
    /// ```
    #[must_use]
    pub fn monitor(&self) -> ServerMetrics {
        self.reporter.monitor().clone()
    }

    /// Trusts the headers in which these proxies describe the client: its address, the scheme and the host. They replace
    /// the [address of the request](Request::peer_addr) and its header `Host`, and the [origin check](Self::origin) uses
    /// them. [`Request::apply_forwarded`] describes the rules. Default: no proxy is trusted.
    ///
    /// ```
    /// use ws_smol::{ForwardedHeaders, Server, TrustedProxies};
    ///
    /// let proxies = TrustedProxies::new().network("10.0.0.0/8")?;
    /// let server = Server::new().trust_forwarded(ForwardedHeaders::XForwarded, proxies);
    /// # Ok::<(), ws_core::NetworkError>(())
    /// ```
    pub fn trust_forwarded(mut self, headers: ForwardedHeaders, proxies: TrustedProxies) -> Self {
        self.router.trust_forwarded(headers, proxies);
        self
    }

    /// Requires a header of the PROXY protocol, of version 1 or 2, at the beginning of each connection from these proxies.
    /// The header contains the [address of the client](Request::peer_addr). Connections from other addresses have no such
    /// header. [`WebSocket::peer_addr`] remains the address of the proxy. Default: no proxy sends it.
    pub fn proxy_protocol(mut self, proxies: TrustedProxies) -> Self {
        self.proxy_protocol = proxies;
        self
    }

    /// Serves `wss://` and `https://` instead of `ws://` and `http://`.
    pub fn tls(mut self, tls: impl Into<ServerTlsConfig>) -> Self {
        self.tls = Some(tls.into());
        self
    }

    /// Sets the function that runs the task of each connection, such as `|task| smol::spawn(task).detach()`.
    pub fn spawner(mut self, spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        self.spawner = Some(Box::new(spawn));
        self
    }

    /// Listens on an address, and serves until the process ends.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`bind`](Self::bind) and [`Listener::serve`].
    pub async fn listen(self, address: impl ToSocketAddrs) -> Result<(), Error> {
        self.bind(address)?.serve().await
    }

    /// Listens on an address. With port 0, the system chooses a free port. Clients can connect immediately, and
    /// [`Listener::serve`] serves them. If the address is a name with several addresses, such as `localhost`, the
    /// server listens on all of them, with the same port. [`Listener::local_addrs`] returns them. Addresses that this
    /// machine does not have, for example because IPv6 is disabled, are left out.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Route`] if a route is malformed or occurs twice, or a default header cannot be sent.
    /// - Returns [`Error::Tls`] if TLS cannot be set up.
    /// - Returns [`Error::Io`] if no address is available, or if the port is in use on one of the addresses, with the
    ///   reason for each address.
    /// - Returns [`Error::Io`] of the kind [`InvalidInput`](std::io::ErrorKind::InvalidInput) if a setting of the server
    ///   is invalid, or if [`max_connections`](Self::max_connections) exceeds the file descriptors of the process.
    pub fn bind(self, address: impl ToSocketAddrs) -> Result<Listener, Error> {
        let server = self.prepare()?;
        let sockets = server.settings.listen.listen(address)?;
        Listener::new(server, sockets)
    }

    /// Listens on a Unix-domain socket at `path`. The file is removed when the listening socket is closed. A stale
    /// file, to which no process listens any more, is replaced.
    ///
    /// # Errors
    ///
    /// - Returns the same errors as [`bind`](Self::bind).
    /// - Returns [`Error::Io`] of the kind [`AddrInUse`](std::io::ErrorKind::AddrInUse) if another process listens on
    ///   the path, or if the file at the path is not a socket.
    pub fn bind_unix(self, path: impl AsRef<Path>) -> Result<Listener, Error> {
        let server = self.prepare()?;
        let socket = server.settings.listen.listen_unix(path.as_ref())?;
        Listener::new(server, vec![socket])
    }

    /// Serves clients of an inherited listening socket, for example from a service manager such as systemd. The file
    /// of a Unix-domain socket remains when the server stops, because it belongs to the process that created it.
    ///
    /// # Errors
    ///
    /// - Returns the same errors as [`bind`](Self::bind).
    /// - Returns [`Error::Io`] of the kind [`InvalidInput`](std::io::ErrorKind::InvalidInput) if the socket is not a
    ///   TCP or Unix-domain stream socket, or if it does not listen.
    pub fn bind_socket(self, socket: impl Into<OwnedFd>) -> Result<Listener, Error> {
        Listener::new(self.prepare()?, vec![ListeningSocket::adopt(socket.into())?])
    }

    /// Serves streams that the application has accepted or created, instead of a listening socket. All settings of the
    /// server apply, except those of the spawner and of listening.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), ws_smol::Error> {
    /// use smol::net::TcpListener;
    /// use ws_smol::Server;
    ///
    /// let server = Server::new()
    ///     .route("/echo", |_request, mut ws| async move {
    ///         while let Some(message) = ws.receive().await? {
    ///             ws.send(message).await?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .for_streams()?;
    /// let listener = TcpListener::bind("127.0.0.1:9001").await?;
    /// loop {
    ///     let (stream, _) = listener.accept().await?;
    ///     let server = server.clone();
    ///     smol::spawn(async move { server.serve(stream).await }).detach();
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Route`] if a route is malformed or occurs twice, or a default header cannot be sent.
    /// - Returns [`Error::Tls`] if TLS cannot be set up.
    /// - Returns [`Error::Io`] if a setting of the server is invalid.
    pub fn for_streams(self) -> Result<StreamServer, Error> {
        Ok(StreamServer::new(self.prepare()?))
    }

    /// Checks the settings and computes the values that depend on them.
    fn prepare(self) -> Result<BoundServer, Error> {
        self.settings.listen.check()?;
        let limits = self.settings.admission;
        let gate = Gate::new(limits, MAX_CONNECTIONS, self.admission_check, &self.reporter)?;
        Ok(BoundServer {
            router: self.router.build()?,
            handshake: self.handshake,
            settings: self.settings,
            tls_config: self.tls.as_ref().map(ServerTlsConfig::build).transpose()?,
            spawner: self.spawner,
            gate,
            reporter: self.reporter,
            proxy_protocol: self.proxy_protocol,
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("router", &self.router)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BoundServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundServer")
            .field("router", &self.router)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
