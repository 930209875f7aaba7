mod handle;

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use ws_core::{
    Config, HandshakeConfig, Response, TimeoutKind, Url, UrlError,
    client::{Handshake, Request},
};
use ws_sessions::Callbacks;
use ws_transport::{
    AddressFailures, Clock, ConnectOptions, ConnectionSpan, Error, SocketOptions, seed,
    tls::{ClientTls, ClientTlsConfig},
};

use crate::{WebSocket, opening::Opening, socket::Socket};

pub use self::handle::ClientHandle;

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
    request: Result<Request, UrlError>,
    handshake: HandshakeConfig,
    config: Config,
    options: ConnectOptions,
    read_timeout: Option<Duration>,
    tls: ClientTlsConfig,
}

impl Client {
    /// Creates a client for a URL such as `ws://example.com/chat`. If the URL is invalid, [`connect`](Self::connect)
    /// returns the error.
    pub fn new(url: &str) -> Self {
        Self {
            request: url.parse::<Url>().map(Request::new),
            handshake: HandshakeConfig::default(),
            config: Config::default(),
            options: ConnectOptions::default(),
            read_timeout: None,
            tls: ClientTls::new().into(),
        }
    }

    /// Adds a header to the request, such as `Origin`, `Cookie` or `Authorization`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.map(|request| request.header(name, value));
        self
    }

    /// Offers a subprotocol. Call it once for each subprotocol, in order of preference.
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.request = self.request.map(|request| request.subprotocol(name));
        self
    }

    /// Changes limits and deadlines of the connection, such as the keepalive interval and the maximum message size.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes the limits of the opening handshake, such as its timeout.
    pub fn configure_handshake(mut self, change: impl FnOnce(&mut HandshakeConfig)) -> Self {
        change(&mut self.handshake);
        self
    }

    /// Sets the maximum duration of connecting, for all addresses together. The opening handshake has its own limit,
    /// [`open_timeout`](HandshakeConfig::open_timeout). Default: 10 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
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
        self.options.local_address = Some(address);
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
        change(&mut self.options.socket);
        self
    }

    /// Sets `TCP_NODELAY`. With `true`, small messages are sent at once. Default: `true`.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.options.nodelay = nodelay;
        self
    }

    /// Sets the TLS configuration for a `wss://` URL, such as trusted certificates and a client certificate.
    pub fn tls(mut self, tls: impl Into<ClientTlsConfig>) -> Self {
        self.tls = tls.into();
        self
    }

    /// Connects to the addresses of the host in turn, and opens the WebSocket.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Url`] if the URL is invalid.
    /// - Returns [`Error::Io`] if the host cannot be resolved or reached.
    /// - Returns [`Error::Timeout`] if no connection is established within the connect timeout.
    /// - Returns [`Error::Tls`] if TLS cannot be set up or fails.
    /// - Returns [`Error::Handshake`] if the opening handshake fails.
    pub fn connect(self) -> Result<WebSocket, Error> {
        self.connect_with_response().map(|(ws, _)| ws)
    }

    /// Like [`connect`](Self::connect), and also returns the server's response with its headers.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect).
    pub fn connect_with_response(self) -> Result<(WebSocket, Response), Error> {
        let url = self.request.as_ref().map_err(|&error| error)?.url();
        let socket = self.connect_socket(url)?;
        self.open(socket)
    }

    /// Connects to a Unix-domain socket at this path, and opens the WebSocket. The URL determines the host and the
    /// path of the request.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect).
    pub fn connect_unix(self, path: impl AsRef<Path>) -> Result<WebSocket, Error> {
        let socket = self.options.connect_unix(path.as_ref())?;
        self.open(Socket::new(socket, None)?).map(|(ws, _)| ws)
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
        let url = self.request.as_ref().map_err(|&error| error)?.url();
        let path = url.target().split('?').next().unwrap_or_default().to_owned();
        let (ws, response) = self.connect_with_response()?;
        ClientHandle::start(ws, response, path, callbacks)
    }

    /// Runs the opening handshakes of TLS and WebSocket, in the span of the connection.
    fn open(self, socket: Socket) -> Result<(WebSocket, Response), Error> {
        let request = self.request.clone()?;
        let span = ConnectionSpan::client(socket.addresses().peer, request.url().target());
        span.in_scope(|| self.open_in_span(&request, socket)).inspect_err(|_| span.failed())
    }

    fn open_in_span(self, request: &Request, socket: Socket) -> Result<(WebSocket, Response), Error> {
        let tls = match request.url().is_secure() {
            true => Some(self.tls.session(request.url().server_name())?),
            false => None,
        };
        let clock = Clock::start();
        let mut opening = Opening::new(Arc::new(socket), clock, tls, self.config.write_timeout);
        let mut handshake =
            Handshake::new(request, &self.handshake, Arc::new(self.config), seed()?, clock.now())?;
        let due = handshake.poll_timeout();
        let mut failed = opening.write_all(&mut handshake.transmit(), due).err();
        loop {
            if let Some((connection, response)) = opening.consume(|input| handshake.receive(input))? {
                return Ok((WebSocket::new(opening.into_duplex(connection), self.read_timeout), response));
            }
            let now = clock.now();
            handshake.handle_timeout(now)?;
            // A server that refuses may not wait for the whole request. So its response counts before the failed
            // write.
            let due = if failed.is_some() { Some(now) } else { handshake.poll_timeout() };
            match opening.read(due) {
                Ok(Some(0)) => return Err(handshake.receive_eof().into()),
                Ok(Some(_)) => {}
                Ok(None) => {
                    if let Some(failed) = failed.take() {
                        return Err(Error::of_opening(failed, handshake.receive_eof()));
                    }
                }
                Err(failed) => return Err(Error::of_opening(failed, handshake.receive_eof())),
            }
        }
    }

    fn connect_socket(&self, url: &Url) -> Result<Socket, Error> {
        let deadline = Instant::now().checked_add(self.options.timeout);
        let mut failures = AddressFailures::new("connect to");
        let addresses = (url.host(), url.port()).to_socket_addrs();
        for address in addresses.map_err(|error| Error::of_resolve(url.host(), &error))? {
            let left =
                deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(Error::Timeout(TimeoutKind::Connect));
            }
            match self.connect_address(address, left) {
                Ok(socket) => return Ok(socket),
                Err(error) => failures.add(address, &error),
            }
        }
        Err(failures.into_connect_error(url.host()))
    }

    fn connect_address(&self, address: SocketAddr, timeout: Duration) -> io::Result<Socket> {
        let socket = self.options.socket(address)?;
        socket.connect_timeout(&address.into(), timeout)?;
        // The server may have disconnected already. Some addresses, such as 0.0.0.0, connect to another address.
        let peer = socket.peer_addr().ok().and_then(|peer| peer.as_socket());
        Socket::new(socket, peer.or(Some(address)))
    }
}
