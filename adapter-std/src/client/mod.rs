mod cancel;
mod connecting;
mod handle;
mod reconnecting;
mod reconnecting_client;

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use ws_core::{Config, HandshakeConfig, ReconnectPolicy, Response, Url, UrlError};
use ws_sessions::Callbacks;
use ws_transport::{
    ClientSettings, ConnectConfig, Driver, EndRecord, Error, SocketOptions, tls::ClientTlsConfig,
};

use self::cancel::Waits;
use crate::{
    WebSocket,
    duplex::Duplex,
    read_buffer::ReadBuffer,
    stream::{IntoSocket, adopt},
};

pub use self::{
    cancel::CancelHandle, handle::ClientHandle, reconnecting::Reconnecting,
    reconnecting_client::ReconnectingClient,
};

/// A client with options: headers, subprotocols, TLS, timeouts and limits.
///
/// ```no_run
/// use std::time::Duration;
/// use ws_std::Client;
///
/// let mut ws = Client::new("ws://127.0.0.1:9001/chat")
///     .header("Authorization", "Bearer 1234")
///     .subprotocol("chat")
///     .connect_timeout(Duration::from_secs(3))
///     .configure(|config| config.max_message_size = 64 << 20)
///     .connect()?;
/// ws.send("Hello")?;
/// # Ok::<(), ws_std::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is connected before `connect` is called"]
pub struct Client {
    settings: ClientSettings,
    read_timeout: Option<Duration>,
    waits: Waits,
}

impl Client {
    /// Creates a client for a URL such as `ws://example.com/chat`. If the URL is invalid, [`connect`](Self::connect)
    /// returns the error. The URL is text, a [`Url`], or, with the feature `url`, a `url::Url`.
    pub fn new<U>(url: U) -> Self
    where
        U: TryInto<Url, Error: Into<UrlError>>,
    {
        Self { settings: ClientSettings::new(url), read_timeout: None, waits: Waits::default() }
    }

    /// Adds a header to the request, such as `Origin`, `Cookie` or `Authorization`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.settings = self.settings.with_request(|request| request.header(name, value));
        self
    }

    /// Offers a subprotocol. Call it once for each subprotocol, in order of preference.
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.settings = self.settings.with_request(|request| request.subprotocol(name));
        self
    }

    /// Changes limits and deadlines of the connection, such as the keepalive interval and the maximum message size.
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

    /// Sets a function that resolves the names of hosts in place of the operating system. It is called in a separate thread
    /// with the name and the port, and its result counts like that of the system: it is subject to the same timeouts.
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

    /// Lets [`cancel`](CancelHandle::cancel) end [`connect`](Self::connect) and [`reconnecting`](Self::reconnecting) from
    /// another thread. Call it again to add more handles.
    pub fn cancel_with(mut self, cancel: &CancelHandle) -> Self {
        self.waits.0.push(cancel.clone());
        self
    }

    /// Sets the maximum time for which [`receive`](WebSocket::receive) waits for a message. It has no effect on callbacks,
    /// that is, on [`start`](Self::start). Default: `None`, which means no limit.
    pub fn read_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Sets the maximum pause of a write while the server does not read, see [`Config::write_timeout`]. `None`: no
    /// limit. Default: 30 seconds.
    pub fn write_timeout(self, timeout: Option<Duration>) -> Self {
        self.configure(|config| config.write_timeout = timeout)
    }

    /// Sets the local address to connect from, which selects the network interface. It has no effect on Unix-domain
    /// sockets.
    pub fn local_address(mut self, address: SocketAddr) -> Self {
        self.settings.options.local_address = Some(address);
        self
    }

    /// Changes further options of the TCP socket: the IP version, the network interface, the sizes of its buffers, and a
    /// function that configures it.
    ///
    /// ```
    /// use ws_std::{AddressFamily, Client};
    ///
    /// let client = Client::new("ws://localhost:9001/").socket_options(|options| options.family = AddressFamily::Ipv4);
    /// ```
    pub fn socket_options(mut self, change: impl FnOnce(&mut SocketOptions)) -> Self {
        change(&mut self.settings.options.socket);
        self
    }

    /// Sets `TCP_NODELAY`. With `true`, small messages are sent at once. Default: `true`.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.settings.options.nodelay = nodelay;
        self
    }

    /// Sets the TLS configuration for a `wss://` URL, such as trusted certificates and a client certificate.
    pub fn tls(mut self, tls: impl Into<ClientTlsConfig>) -> Self {
        self.settings.tls = tls.into();
        self
    }

    /// Connects to the first address of the host that answers, and opens the WebSocket. An attempt that takes longer than
    /// 250 ms does not delay the next one (RFC 8305, "Happy Eyeballs").
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Url`] if the URL is invalid.
    /// - Returns [`Error::Io`] if the host cannot be resolved or reached, with the reason for each of its addresses.
    /// - Returns [`Error::Timeout`] if a timeout of [`ConnectConfig`] passes. It contains the phase.
    /// - Returns [`Error::Proxy`] or [`Error::ProxyTls`] if the proxy cannot be used.
    /// - Returns [`Error::Tls`] if TLS cannot be set up or fails.
    /// - Returns [`Error::Handshake`] if the opening handshake fails.
    /// - Returns [`Error::Cancelled`] if a [`CancelHandle`] was used.
    pub fn connect(self) -> Result<WebSocket, Error> {
        self.connect_with_response().map(|(ws, _)| ws)
    }

    /// Like [`connect`](Self::connect), and also returns the server's response with its headers.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect).
    pub fn connect_with_response(self) -> Result<(WebSocket, Response), Error> {
        let open = connecting::connect(self.settings, &self.waits)?;
        Ok(websocket(open, self.read_timeout, None))
    }

    /// Connects to a Unix-domain socket at this path, and opens the WebSocket. The URL determines the host and the
    /// path of the request.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect).
    pub fn connect_unix(self, path: impl AsRef<Path>) -> Result<WebSocket, Error> {
        let open = connecting::connect_path(self.settings, path.as_ref(), &self.waits)?;
        Ok(websocket(open, self.read_timeout, None).0)
    }

    /// Opens the WebSocket on a stream that is connected to the server: a socket, or any other stream behind a
    /// [`Relay`](crate::Relay). A `wss://` URL adds TLS. The options of connecting, the
    /// proxy and the number of redirects have no effect. A redirect is returned as
    /// [`HandshakeError::Refused`](crate::HandshakeError::Refused), because only this stream can be used.
    ///
    /// ```no_run
    /// use std::net::TcpStream;
    /// use ws_std::Client;
    ///
    /// let stream = TcpStream::connect("127.0.0.1:9001")?;
    /// stream.set_nodelay(true)?;
    /// let mut ws = Client::new("ws://example.com/chat").subprotocol("chat").connect_over(stream)?;
    /// ws.send("Hello")?;
    /// # Ok::<(), ws_std::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect).
    pub fn connect_over(self, stream: impl IntoSocket) -> Result<WebSocket, Error> {
        let open = connecting::connect_over(self.settings, adopt(stream)?, &self.waits)?;
        Ok(websocket(open, self.read_timeout, None).0)
    }

    /// Connects, and then runs callbacks in a separate thread until the connection has ended.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ws_std::{Callbacks, Client};
    ///
    /// let callbacks = Callbacks::new()
    ///     .on_message(|_session, message| println!("{message}"))
    ///     .on_disconnect(|_session, close_info| println!("{close_info}"));
    /// let client = Client::new("ws://127.0.0.1:9001/chat").start(callbacks)?;
    /// client.session().send("Hello")?;
    /// client.stop(Duration::from_secs(5));
    /// # Ok::<(), ws_std::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect), and [`Error::Io`] if no thread can be started. After an
    /// error, no callback runs.
    pub fn start(self, callbacks: Callbacks) -> Result<ClientHandle, Error> {
        let path = self.path();
        let (ws, response) = self.connect_with_response()?;
        ClientHandle::start(ws, response, path, callbacks)
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

fn websocket(
    (opened, socket, clock): connecting::Open,
    read_timeout: Option<Duration>,
    record: Option<EndRecord>,
) -> (WebSocket, Response) {
    let driver = opened.span.in_scope(|| Driver::new(opened.connection, opened.tls).with_end_record(record));
    let duplex = Duplex::new(Arc::new(socket), clock, ReadBuffer::new(opened.rest), driver);
    (WebSocket::new(Arc::new(duplex), read_timeout), opened.response)
}
