mod connection;
mod handle;
mod listener;
mod pool;
mod route;
mod shared;

use std::{
    fmt, io, net::ToSocketAddrs, ops::RangeInclusive, os::fd::OwnedFd, path::Path, sync::Arc, time::Duration,
};

use ws_core::{
    Config, ForwardedHeaders, HandshakeConfig, OriginPolicy, Response, TrustedProxies,
    server::{Request, Router, RouterBuilder},
};
use ws_sessions::{ConnectionError, Reporter, ServerMetrics};
use ws_transport::{
    Error, ListenOptions, ListeningSocket,
    tls::{ServerTlsConfig, rustls},
};

pub use handle::ServerHandle;
pub use listener::Listener;
pub use pool::Job;
pub use route::{HandlerResult, Route};

use self::{pool::Spawner, route::Endpoint};
use crate::WebSocket;

/// A WebSocket server, which can also serve a few HTTP pages on the same port.
///
/// Each connection has its own thread. Threads start on demand, or [in advance](Self::threads), and are reused. When
/// the server has [`max_connections`](Self::max_connections), it answers further clients with 503.
///
/// ```no_run
/// use ws_std::Server;
///
/// Server::new()
///     .route("/echo", |_request, mut ws| {
///         while let Some(message) = ws.receive()? {
///             ws.send(message)?;
///         }
///         Ok(())
///     })
///     .listen("127.0.0.1:9001")?;
/// # Ok::<(), ws_std::Error>(())
/// ```
#[must_use = "a server does nothing before `listen` or `bind`"]
pub struct Server {
    router: RouterBuilder<Endpoint>,
    handshake: HandshakeConfig,
    settings: Settings,
    tls: Option<ServerTlsConfig>,
    reporter: Reporter,
    proxy_protocol: TrustedProxies,
    spawner: Option<Box<Spawner>>,
}

/// A bound server, as its listener runs it. Its settings are valid.
struct BoundServer {
    router: Router<Endpoint>,
    handshake: HandshakeConfig,
    settings: Settings,
    tls_config: Option<Arc<rustls::ServerConfig>>,
    reporter: Reporter,
    proxy_protocol: TrustedProxies,
    /// Moved to the thread pool.
    spawner: Option<Box<Spawner>>,
}

/// Settings of all connections, in addition to the configuration of the protocol.
#[derive(Clone, Debug)]
struct Settings {
    /// Minimum and maximum number of threads. Each connection has one.
    threads: RangeInclusive<usize>,
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
            settings: Settings { threads: 0..=4096, read_timeout: None, listen: ListenOptions::default() },
            tls: None,
            reporter: Reporter::default(),
            proxy_protocol: TrustedProxies::new(),
            spawner: None,
        }
    }

    /// Adds a handler for WebSockets on a path such as `/echo`, `/rooms/:room` or `/files/*`. See
    /// [`PathRouter`](ws_core::PathRouter) for the patterns. Use [`mount`](Self::mount) to add a [`Route`] with more settings.
    pub fn route<H>(self, path: &str, handler: H) -> Self
    where
        H: Fn(Request, WebSocket) -> HandlerResult + Send + Sync + 'static,
    {
        self.mount(path, Route::new(handler))
    }

    /// Adds a [`Route`] or callbacks for WebSockets on a path.
    pub fn mount(mut self, path: &str, route: impl Into<Route>) -> Self {
        let route = route.into();
        self.router.route(path, route.terms, route.endpoint);
        self
    }

    /// Adds a page for ordinary HTTP requests (GET and HEAD) on a path. The same path may also serve WebSockets. Use
    /// it for a health check or a small page. It does not replace a web server.
    pub fn page<P>(mut self, path: &str, page: P) -> Self
    where
        P: Fn(&Request) -> Response + Send + Sync + 'static,
    {
        self.router.page(path, page);
        self
    }

    /// Changes limits, deadlines and keepalive of the connections of all routes. A route can
    /// [change](Route::configure) them again.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(self.router.config_mut());
        self
    }

    /// Changes the limits of the opening handshake, such as its timeout. They apply before the path of a request is
    /// known, so they are the same for all routes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ws_std::Server;
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

    /// Sets the maximum number of simultaneous connections, including opening handshakes. With 0, every client is
    /// refused. Default: 4,096.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.settings.threads = *self.settings.threads.start()..=most;
        self
    }

    /// Sets the minimum and maximum number of threads that serve connections, such as `8..=128`. The minimum starts
    /// with the server and stays. Further threads exist only while there are connections for them.
    /// [`max_connections`](Self::max_connections) sets the maximum alone. [`bind`](Self::bind) returns an error if the
    /// minimum exceeds the maximum. Default: `0..=4096`.
    pub fn threads(mut self, threads: RangeInclusive<usize>) -> Self {
        self.settings.threads = threads;
        self
    }

    /// Sets the function that runs each connection on the threads of the application, such as a thread pool. The
    /// maximum of [`threads`](Self::threads) still limits the number of connections, and the minimum has no effect.
    /// Default: the server starts threads.
    ///
    /// A job blocks its thread until its connection has ended. So a thread pool needs as many threads as there are
    /// connections. A connection whose job is dropped is closed.
    ///
    /// ```
    /// use std::thread;
    /// use ws_std::Server;
    ///
    /// let server = Server::new().spawner(|job| drop(thread::spawn(job)));
    /// ```
    pub fn spawner(mut self, spawn: impl Fn(Job) + Send + Sync + 'static) -> Self {
        self.spawner = Some(Box::new(spawn));
        self
    }

    /// Sets the maximum time for which [`receive`](WebSocket::receive) waits for a message in a handler. It has no effect on
    /// routes with callbacks: use [keepalive](Config::keepalive) there. Default: `None`, which means no limit.
    pub fn read_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.settings.read_timeout = timeout;
        self
    }

    /// Sets the maximum pause of a write while the peer does not read, see [`Config::write_timeout`]. `None`: no
    /// limit. Default: 30 seconds.
    pub fn write_timeout(self, timeout: Option<Duration>) -> Self {
        self.configure(|config| config.write_timeout = timeout)
    }

    /// Changes the options of the listening socket and of the connections that it accepts: the backlog, `SO_REUSEPORT`,
    /// `TCP_NODELAY` and others. For a socket that is passed to [`bind_socket`](Self::bind_socket), only `nodelay` and
    /// `notsent_lowat` have an effect.
    pub fn listen_options(mut self, change: impl FnOnce(&mut ListenOptions)) -> Self {
        change(&mut self.settings.listen);
        self
    }

    /// Sets a hook that is called for each error of a connection: an error of a handler, a panic, a failed TLS
    /// handshake, a refused request or a lost peer. Without a hook, errors are only [counted](Self::monitor), and
    /// nothing is printed.
    ///
    /// The hook runs on the thread that detected the error, so it must not block. A typical hook passes the
    /// [`ConnectionError`] to a logger.
    ///
    /// ```
    /// use ws_std::Server;
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
    /// use ws_std::{Response, Server, ServerStats};
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
    /// use ws_std::{ForwardedHeaders, Server, TrustedProxies};
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

    /// Listens on an address and serves until the process ends.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`bind`](Self::bind) and [`Listener::serve`].
    pub fn listen(self, address: impl ToSocketAddrs) -> Result<(), Error> {
        self.bind(address)?.serve()
    }

    /// Listens on an address. Port 0 selects a free port. Clients can connect at once, and [`Listener::serve`] serves
    /// them. If the address is a name with several addresses, such as `localhost`, the server listens on the first
    /// available one.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Route`] if a route is malformed or was added twice.
    /// - Returns [`Error::Tls`] if TLS cannot be set up.
    /// - Returns [`Error::Io`] if no address is available, with the reason for each address.
    /// - Returns [`Error::Io`] of the kind [`InvalidInput`](std::io::ErrorKind::InvalidInput) if a setting of the
    ///   server is invalid.
    pub fn bind(self, address: impl ToSocketAddrs) -> Result<Listener, Error> {
        let server = self.prepare()?;
        let socket = server.settings.listen.listen(address)?;
        Listener::new(server, socket)
    }

    /// Listens on a Unix-domain socket at this path. A stale socket file, on which no process listens, is replaced.
    /// The file is removed when the listening socket is closed.
    ///
    /// # Errors
    ///
    /// - Returns the same errors as [`bind`](Self::bind).
    /// - Returns [`Error::Io`] of the kind [`AddrInUse`](std::io::ErrorKind::AddrInUse) if another process listens on
    ///   the path, or if the path is a file that is not a socket.
    pub fn bind_unix(self, path: impl AsRef<Path>) -> Result<Listener, Error> {
        let server = self.prepare()?;
        let socket = server.settings.listen.listen_unix(path.as_ref())?;
        Listener::new(server, socket)
    }

    /// Serves the clients of an inherited socket that already listens, such as one from a service manager (systemd).
    /// The file of a Unix-domain socket is not removed when the server stops, because it belongs to the process that
    /// created the socket.
    ///
    /// # Errors
    ///
    /// - Returns the same errors as [`bind`](Self::bind).
    /// - Returns [`Error::Io`] of the kind [`InvalidInput`](std::io::ErrorKind::InvalidInput) if the socket is not a
    ///   listening stream socket of TCP or of the Unix domain.
    pub fn bind_socket(self, socket: impl Into<OwnedFd>) -> Result<Listener, Error> {
        Listener::new(self.prepare()?, ListeningSocket::adopt(socket.into())?)
    }

    /// Checks the settings, and computes the configurations for the connections.
    fn prepare(self) -> Result<BoundServer, Error> {
        let threads = &self.settings.threads;
        if threads.is_empty() {
            let text = format!(
                "the server's threads are {threads:?}, which is no number: the least may not be more than the most, \
                 which `threads` and `max_connections` set"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text).into());
        }
        self.settings.listen.check()?;
        Ok(BoundServer {
            router: self.router.build()?,
            handshake: self.handshake,
            settings: self.settings,
            tls_config: self.tls.as_ref().map(ServerTlsConfig::build).transpose()?,
            reporter: self.reporter,
            proxy_protocol: self.proxy_protocol,
            spawner: self.spawner,
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
