mod connecting;
mod handle;
mod reconnecting;
mod reconnecting_client;

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use futures_lite::{AsyncRead, AsyncWrite};
use ws_core::{Config, HandshakeConfig, ReconnectPolicy, Response, Url, UrlError};
use ws_sessions::Callbacks;
use ws_transport::{
    ClientSettings, ConnectConfig, Driver, EndRecord, Error, SocketOptions, tls::ClientTlsConfig,
};

use crate::{Task, WebSocket, duplex::Duplex, input::Input, lazy_timer::LazyTimer, stream::Stream};

pub(crate) use self::connecting::{Open, exchange_in};
pub use self::{handle::ClientHandle, reconnecting::Reconnecting, reconnecting_client::ReconnectingClient};

/// Connects to a server with custom headers, TLS options, limits and timeouts.
///
/// ```no_run
/// # async fn run() -> Result<(), ws_smol::Error> {
/// use std::time::Duration;
/// use ws_smol::Client;
///
/// let mut ws = Client::new("ws://127.0.0.1:9001/chat")
///     .header("Authorization", "Bearer 1234")
///     .subprotocol("chat")
///     .connect_timeout(Duration::from_secs(3))
///     .configure(|config| config.max_message_size = 64 << 20)
///     .connect()
///     .await?;
/// ws.send("Hello").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is connected before `connect` is called"]
pub struct Client {
    settings: ClientSettings,
    read_timeout: Option<Duration>,
}

impl Client {
    /// Creates a client for a URL such as `ws://example.com/chat`. [`connect`](Self::connect) returns an error if the
    /// URL is invalid. The URL is text, a [`Url`], or, with the feature `url`, a `url::Url`.
    pub fn new<U>(url: U) -> Self
    where
        U: TryInto<Url, Error: Into<UrlError>>,
    {
        Self { settings: ClientSettings::new(url), read_timeout: None }
    }

    /// Adds a header to the request, such as `Origin`, `Cookie` or `Authorization`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.settings = self.settings.with_request(|request| request.header(name, value));
        self
    }

    /// Offers a subprotocol to the server. Repeated calls add more subprotocols in the order of preference.
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.settings = self.settings.with_request(|request| request.subprotocol(name));
        self
    }

    /// Changes the limits and deadlines of the connection, such as keepalive and the maximum message size.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.settings.config);
        self
    }

    /// Changes the limits of the opening handshake, such as its timeout.
    pub fn configure_handshake(mut self, change: impl FnOnce(&mut HandshakeConfig)) -> Self {
        change(&mut self.settings.handshake);
        self
    }

    /// Changes the timeouts of connecting: for the name of the host, the connection, the proxy, TLS, and all of it.
    pub fn configure_connect(mut self, change: impl FnOnce(&mut ConnectConfig)) -> Self {
        change(&mut self.settings.connect);
        self
    }

    /// Sets the maximum duration of connecting, for all addresses together, including the resolution of the host's name, see
    /// [`ConnectConfig::connect_timeout`]. The opening handshake has its own limit,
    /// [`open_timeout`](HandshakeConfig::open_timeout). Default: 10 seconds.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.configure_connect(|config| config.connect_timeout = Some(timeout))
    }

    /// Connects to this address whenever the name is `host`, without resolving it (like `--resolve` of curl). If the port of
    /// the address is 0, it is that of the URL. Call it again to add more addresses. The request and the TLS certificate are
    /// still those of the name. If a proxy resolves the name of the server, this applies to the host of the proxy only.
    pub fn resolve(mut self, host: &str, address: impl Into<SocketAddr>) -> Self {
        self.settings.add_address(host, address.into());
        self
    }

    /// Sets a function that resolves the names of hosts in place of the operating system. It is called in a thread
    /// that may block, with the name and the port, and its result counts like that of the system: it is subject to the same timeouts.
    /// At most 64 lookups run in a process at once, including those that have passed their timeout.
    pub fn resolver(
        mut self,
        resolver: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        self.settings.set_resolver(resolver);
        self
    }

    /// Connects through a proxy, such as `http://user:password@proxy.example:3128`. The schemes are `http`, `https` (TLS to
    /// the proxy), `socks5` (this end resolves the name of the server) and `socks5h` (the proxy resolves it). If the URL is
    /// invalid, [`connect`](Self::connect) returns the error. It has no effect on Unix-domain sockets.
    pub fn proxy(mut self, url: &str) -> Self {
        self.settings.set_proxy(url);
        self
    }

    /// Connects through the proxy that the environment variables of this process name now, with the rules of
    /// [`Environment`](ws_core::proxy::Environment): `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`.
    pub fn proxy_from_environment(mut self) -> Self {
        self.settings.set_proxy_from_environment();
        self
    }

    /// Sets the TLS configuration for an `https` proxy. That of [`tls`](Self::tls) is only used for the server.
    pub fn proxy_tls(mut self, tls: impl Into<ClientTlsConfig>) -> Self {
        self.settings.proxy_tls = tls.into();
        self
    }

    /// Follows at most this number of redirects, up to 10, as [`Redirects`](ws_core::client::Redirects) describes. It has no
    /// effect on Unix-domain sockets. Default: 0.
    pub fn max_redirects(mut self, redirects: u32) -> Self {
        self.settings.max_redirects = redirects;
        self
    }

    /// Sets the maximum time for which [`receive`](WebSocket::receive) waits for a message. It has no effect on callbacks,
    /// that is, on [`start`](Self::start). Default: `None`, which means no limit.
    pub fn read_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Sets the maximum pause during which the server reads none of the output, see [`Config::write_timeout`].
    /// Default: 30 seconds.
    pub fn write_timeout(self, timeout: Option<Duration>) -> Self {
        self.configure(|config| config.write_timeout = timeout)
    }

    /// Sets the local address to connect from, which also selects the network interface. It has no effect on Unix-domain
    /// sockets.
    pub fn local_address(mut self, address: SocketAddr) -> Self {
        self.settings.options.local_address = Some(address);
        self
    }

    /// Changes further options of the TCP socket: the IP version, the network interface, the sizes of its buffers, and a
    /// function that configures it.
    ///
    /// ```
    /// use ws_smol::{AddressFamily, Client};
    ///
    /// let client = Client::new("ws://localhost:9001/").socket_options(|options| options.family = AddressFamily::Ipv4);
    /// ```
    pub fn socket_options(mut self, change: impl FnOnce(&mut SocketOptions)) -> Self {
        change(&mut self.settings.options.socket);
        self
    }

    /// Sets `TCP_NODELAY`, which sends small messages without delay. Default: `true`.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.settings.options.nodelay = nodelay;
        self
    }

    /// Sets the TLS options for `wss://` URLs, such as the trusted authorities and the client certificate.
    pub fn tls(mut self, tls: impl Into<ClientTlsConfig>) -> Self {
        self.settings.tls = tls.into();
        self
    }

    /// Connects to the first address of the host that answers, and opens the WebSocket. An attempt that takes longer than
    /// 250 ms does not delay the next one (RFC 8305, "Happy Eyeballs").
    ///
    /// Dropping the future closes all sockets. A lookup of the operating system that has begun continues in its thread, and
    /// its result is dropped.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Url`] if the URL is invalid.
    /// - Returns [`Error::Io`] if the host cannot be resolved or reached, with the reason for each of its addresses.
    /// - Returns [`Error::Timeout`] if a timeout of [`ConnectConfig`] passed. It contains the phase.
    /// - Returns [`Error::Proxy`] or [`Error::ProxyTls`] if the proxy cannot be used.
    /// - Returns [`Error::Tls`] if the TLS options are invalid or the TLS handshake failed.
    /// - Returns [`Error::Handshake`] if the opening handshake failed.
    pub async fn connect(self) -> Result<WebSocket, Error> {
        self.connect_with_response().await.map(|(ws, _)| ws)
    }

    /// Like [`connect`](Self::connect), but also returns the server's response, which contains its headers.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect).
    pub async fn connect_with_response(self) -> Result<(WebSocket, Response), Error> {
        let open = connecting::connect(self.settings).await?;
        Ok(websocket(open, self.read_timeout))
    }

    /// Connects to a Unix-domain socket at `path` and opens the WebSocket. The URL determines the request that the
    /// server receives.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect).
    pub async fn connect_unix(self, path: impl AsRef<Path>) -> Result<WebSocket, Error> {
        let open = connecting::connect_path(self.settings, path.as_ref()).await?;
        Ok(websocket(open, self.read_timeout).0)
    }

    /// Opens the WebSocket on a stream that is connected to the server: a socket, a tunnel, or anything else that
    /// implements `AsyncRead` and `AsyncWrite`. A `wss://` URL adds TLS. The options of connecting, the
    /// proxy and the number of redirects have no effect. A redirect is returned as
    /// [`HandshakeError::Refused`](crate::HandshakeError::Refused), because only this stream can be used.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), ws_smol::Error> {
    /// use smol::net::TcpStream;
    /// use ws_smol::Client;
    ///
    /// let stream = TcpStream::connect("127.0.0.1:9001").await?;
    /// stream.set_nodelay(true)?;
    /// let client = Client::new("ws://example.com/chat").subprotocol("chat");
    /// let mut ws = client.connect_over(stream).await?;
    /// ws.send("Hello").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A stream of tokio needs the adapter `tokio_util::compat`: `client.connect_over(stream.compat())`.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect).
    pub async fn connect_over(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
    ) -> Result<WebSocket, Error> {
        let open = connecting::connect_over(self.settings, Stream::other(stream)).await?;
        Ok(websocket(open, self.read_timeout).0)
    }

    /// Connects, and runs the callbacks until the connection has ended, in a task that is passed to `spawn`.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), ws_smol::Error> {
    /// use std::time::Duration;
    /// use ws_smol::{Callbacks, Client};
    ///
    /// let callbacks = Callbacks::new()
    ///     .on_message(|_session, message| println!("{message}"))
    ///     .on_disconnect(|_session, close_info| println!("{close_info}"));
    /// let client = Client::new("ws://127.0.0.1:9001/chat");
    /// let client = client.start(callbacks, |task| smol::spawn(task).detach()).await?;
    /// client.session().send("Hello")?;
    /// client.stop(Duration::from_secs(5)).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect). In that case, no callback is called.
    pub async fn start(self, callbacks: Callbacks, spawn: impl FnOnce(Task)) -> Result<ClientHandle, Error> {
        let path = self.path();
        let (ws, response) = self.connect_with_response().await?;
        let (handle, task) = ClientHandle::start(ws, response, path, callbacks);
        spawn(task);
        Ok(handle)
    }

    /// Returns the connections of this client, one after the other, with the default [`ReconnectPolicy`].
    pub fn reconnecting(self) -> Reconnecting {
        self.reconnect(ReconnectPolicy::default())
    }

    /// Returns the connections of this client, one after the other, with the delays and limits of this policy.
    pub fn reconnect(self, policy: ReconnectPolicy) -> Reconnecting {
        Reconnecting::new(self, policy)
    }

    /// Returns the path of the request.
    fn path(&self) -> String {
        let target = self.settings.request.as_ref().map_or("", |request| request.url().target());
        target.split('?').next().unwrap_or_default().to_owned()
    }
}

/// Returns the WebSocket of a client, and the server's response.
pub(crate) fn websocket(open: Open, read_timeout: Option<Duration>) -> (WebSocket, Response) {
    websocket_recording(open, read_timeout, None)
}

fn websocket_recording(
    open: Open,
    read_timeout: Option<Duration>,
    record: Option<EndRecord>,
) -> (WebSocket, Response) {
    let Open { opened, stream, peer, clock } = open;
    let driver = opened.span.in_scope(|| Driver::new(opened.connection, opened.tls).with_end_record(record));
    let (addresses, input) = (stream.addresses(peer), Input::new(opened.rest));
    let duplex: Arc<Duplex> = Duplex::new(stream, addresses, clock, input, LazyTimer::default(), driver);
    (WebSocket::new(duplex, read_timeout), opened.response)
}
