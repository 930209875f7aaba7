mod handle;

use std::{
    future::{Future as _, poll_fn},
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    path::Path,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use async_io::{Async, Timer};
use futures_lite::future;
use socket2::SockAddr;
use ws_core::{
    Config, Connection, HandshakeConfig, Response, TimeoutKind, Url, UrlError,
    client::{Handshake, Request},
};
use ws_sessions::Callbacks;
use ws_transport::{
    AddressFailures, Clock, ConnectOptions, ConnectionSpan, Error, SocketOptions, begin_connect, seed,
    tls::{ClientTls, ClientTlsConfig},
};

use crate::{Task, WebSocket, opening::Opening, socket::Socket, stream::Stream};

pub use self::handle::ClientHandle;

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
    request: Result<Request, UrlError>,
    handshake: HandshakeConfig,
    config: Config,
    options: ConnectOptions,
    read_timeout: Option<Duration>,
    tls: ClientTlsConfig,
}

impl Client {
    /// Creates a client for a URL such as `ws://example.com/chat`. [`connect`](Self::connect) returns an error if the
    /// URL is invalid.
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

    /// Offers a subprotocol to the server. Repeated calls add more subprotocols in the order of preference.
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.request = self.request.map(|request| request.subprotocol(name));
        self
    }

    /// Changes the limits and deadlines of the connection, such as keepalive and the maximum message size.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes the limits of the opening handshake, such as its timeout.
    pub fn configure_handshake(mut self, change: impl FnOnce(&mut HandshakeConfig)) -> Self {
        change(&mut self.handshake);
        self
    }

    /// Sets the maximum time to establish a connection, for all addresses of the host together. The opening handshake
    /// has its own limit, [`open_timeout`](HandshakeConfig::open_timeout). Default: 10 seconds.
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

    /// Sets the maximum pause during which the server reads none of the output, see [`Config::write_timeout`].
    /// Default: 30 seconds.
    pub fn write_timeout(self, timeout: Option<Duration>) -> Self {
        self.configure(|config| config.write_timeout = timeout)
    }

    /// Sets the local address to connect from, which also selects the network interface. It has no effect on Unix-domain
    /// sockets.
    pub fn local_address(mut self, address: SocketAddr) -> Self {
        self.options.local_address = Some(address);
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
        change(&mut self.options.socket);
        self
    }

    /// Sets `TCP_NODELAY`, which sends small messages without delay. Default: `true`.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.options.nodelay = nodelay;
        self
    }

    /// Sets the TLS options for `wss://` URLs, such as the trusted authorities and the client certificate.
    pub fn tls(mut self, tls: impl Into<ClientTlsConfig>) -> Self {
        self.tls = tls.into();
        self
    }

    /// Connects and opens the WebSocket. It tries all addresses of the host in turn.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Url`] if the URL is invalid.
    /// - Returns [`Error::Io`] if the host cannot be resolved or reached.
    /// - Returns [`Error::Timeout`] if no connection was established within the connect timeout.
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
        let url = self.request.as_ref().map_err(|&error| error)?.url();
        let connected = future::or(self.connect_socket(url), async {
            Timer::after(self.options.timeout).await;
            Err(Error::Timeout(TimeoutKind::Connect))
        });
        let (stream, address) = connected.await?;
        // The peer may have disconnected already. For some addresses, such as 0.0.0.0, the peer's address differs
        // from the requested one.
        let peer = stream.addresses(None).peer.or(Some(address));
        self.open(stream, peer).await
    }

    /// Connects to a Unix-domain socket at `path` and opens the WebSocket. The URL determines the request that the
    /// server receives.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect).
    pub async fn connect_unix(self, path: impl AsRef<Path>) -> Result<WebSocket, Error> {
        let (path, options) = (path.as_ref().to_owned(), self.options.clone());
        // Only a thread can wait for a full backlog: the non-blocking socket would become writable at once.
        let socket = blocking::unblock(move || options.connect_unix(&path)).await?;
        let stream = Stream::Socket(Socket::from(Async::new(socket)?));
        self.open(stream, None).await.map(|(ws, _)| ws)
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
        let url = self.request.as_ref().map_err(|&error| error)?.url();
        let path = url.target().split('?').next().unwrap_or_default().to_owned();
        let (ws, response) = self.connect_with_response().await?;
        let (handle, task) = ClientHandle::start(ws, response, path, callbacks);
        spawn(task);
        Ok(handle)
    }

    /// Completes the opening handshakes of TLS and WebSocket, in the span of the connection.
    async fn open(self, stream: Stream, peer: Option<SocketAddr>) -> Result<(WebSocket, Response), Error> {
        let request = self.request.clone()?;
        let span = ConnectionSpan::client(peer, request.url().target());
        let mut open = pin!(self.open_in_span(&request, stream, peer));
        poll_fn(|cx| span.in_scope(|| open.as_mut().poll(cx))).await.inspect_err(|_| span.failed())
    }

    async fn open_in_span(
        self,
        request: &Request,
        stream: Stream,
        peer: Option<SocketAddr>,
    ) -> Result<(WebSocket, Response), Error> {
        let tls = match request.url().is_secure() {
            true => Some(self.tls.session(request.url().server_name())?),
            false => None,
        };
        let clock = Clock::start();
        let opening = Opening::new(stream, peer, clock, tls);
        let (connection, opening, response) =
            open(opening, request, &self.handshake, self.config, clock).await?;
        let duplex = opening.into_duplex(connection);
        Ok((WebSocket::new(duplex, self.read_timeout), response))
    }

    /// Connects to the first reachable address of the host. Returns the stream and that address.
    async fn connect_socket(&self, url: &Url) -> Result<(Stream, SocketAddr), Error> {
        let (host, port) = (url.host().to_owned(), url.port());
        let addresses = blocking::unblock(move || (host, port).to_socket_addrs()).await;
        let mut failures = AddressFailures::new("connect to");
        for address in addresses.map_err(|error| Error::of_resolve(url.host(), &error))? {
            match self.connect_address(address).await {
                Ok(stream) => return Ok((stream, address)),
                Err(error) => failures.add(address, &error),
            }
        }
        Err(failures.into_connect_error(url.host()))
    }

    async fn connect_address(&self, address: SocketAddr) -> io::Result<Stream> {
        connect(self.options.socket(address)?, &address.into()).await
    }
}

/// Completes the WebSocket opening handshake.
pub(crate) async fn open(
    mut opening: Opening,
    request: &Request,
    limits: &HandshakeConfig,
    config: Config,
    clock: Clock,
) -> Result<(Connection, Opening, Response), Error> {
    let mut handshake = Handshake::new(request, limits, Arc::new(config), seed()?, clock.now())?;
    opening.queue(&mut handshake.transmit());
    loop {
        if let Some((connection, response)) = opening.consume(|input| handshake.receive(input))? {
            return Ok((connection, opening, response));
        }
        handshake.handle_timeout(clock.now())?;
        match opening.read(handshake.poll_timeout()).await {
            Ok(Some(0)) => return Err(handshake.receive_eof().into()),
            Ok(_) => {}
            // A server may refuse a request before it has read all of it.
            Err(failed) => return Err(Error::of_opening(failed, handshake.receive_eof())),
        }
    }
}

async fn connect(socket: socket2::Socket, address: &SockAddr) -> io::Result<Stream> {
    begin_connect(&socket, address)?;
    let socket = Async::new(socket)?;
    socket.writable().await?;
    match socket.get_ref().take_error()? {
        Some(error) => Err(error),
        None => Ok(Stream::Socket(Socket::from(socket))),
    }
}
