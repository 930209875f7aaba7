mod handle;

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use async_io::{Async, Timer};
use futures_lite::future;
use socket2::SockAddr;
use ws_core::{
    Config, Connection, HandshakeConfig, Response, Url, UrlError,
    client::{Handshake, Request},
};
use ws_sessions::Callbacks;
use ws_transport::{
    AddressFailures, Clock, ConnectOptions, Deadline, Error, begin_connect, seed,
    tls::{ClientTls, ClientTlsConfig},
};

use crate::{Task, WebSocket, opening::Opening, socket::Socket, stream::Stream};

pub use self::handle::ClientHandle;

/// Connects to a server with what it needs beyond the address.
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
    /// A client for this address, such as `ws://example.com/chat`. What is wrong with it,
    /// [`connect`](Self::connect) tells.
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

    /// Sends a header with the request, such as `Origin`, `Cookie` or `Authorization`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.map(|request| request.header(name, value));
        self
    }

    /// Offers a subprotocol; call it again for more, the preferred one first.
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.request = self.request.map(|request| request.subprotocol(name));
        self
    }

    /// Changes the limits and deadlines of the connection, such as keepalive and the largest message.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes the limits of the opening handshake, such as its timeout.
    pub fn configure_handshake(mut self, change: impl FnOnce(&mut HandshakeConfig)) -> Self {
        change(&mut self.handshake);
        self
    }

    /// Sets how long to try to connect, all addresses together. Default: 10 seconds. The opening handshake that follows has
    /// [`open_timeout`](HandshakeConfig::open_timeout) for itself.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sets how long [`receive`](WebSocket::receive) waits for a message. It does not apply to callbacks, which wait for
    /// none: [`start`](Self::start) ignores it. Default: no limit.
    pub fn read_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Sets the maximum pause while the server reads nothing of what is sent to it, see
    /// [`Config::write_timeout`]. Default: 30 seconds.
    pub fn write_timeout(self, timeout: Option<Duration>) -> Self {
        self.configure(|config| config.write_timeout = timeout)
    }

    /// The address, and with it the network interface, to connect from. Not for Unix-domain sockets.
    pub fn local_address(mut self, address: SocketAddr) -> Self {
        self.options.local_address = Some(address);
        self
    }

    /// Whether small messages are sent at once (`TCP_NODELAY`); yes by default.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.options.nodelay = nodelay;
        self
    }

    /// How to do TLS, for a `wss://` address: whom to trust, which certificate to show.
    pub fn tls(mut self, tls: impl Into<ClientTlsConfig>) -> Self {
        self.tls = tls.into();
        self
    }

    /// Connects, trying all addresses of the host in turn, and opens the WebSocket.
    ///
    /// # Errors
    ///
    /// The URL is none, the host cannot be found or reached, or the opening handshake failed.
    pub async fn connect(self) -> Result<WebSocket, Error> {
        self.connect_with_response().await.map(|(ws, _)| ws)
    }

    /// As [`connect`](Self::connect), and gives the server's response for its headers.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with_response(self) -> Result<(WebSocket, Response), Error> {
        let url = self.request.as_ref().map_err(|&error| error)?.url();
        let connected = future::or(self.connect_socket(url), async {
            Timer::after(self.options.timeout).await;
            Err(Error::Timeout(Deadline::Connect))
        });
        let (stream, address) = connected.await?;
        // The server may be gone again, and some addresses, such as 0.0.0.0, mean another one.
        let peer = stream.addresses(None).peer.or(Some(address));
        self.open(stream, peer).await
    }

    /// Opens the WebSocket over a Unix-domain socket at this path; the URL names what is asked of the
    /// server there.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_unix(self, path: impl AsRef<Path>) -> Result<WebSocket, Error> {
        let (path, options) = (path.as_ref().to_owned(), self.options);
        // A full backlog cannot be waited for without a thread: the socket would become writable at once.
        let socket = blocking::unblock(move || options.connect_unix(&path)).await?;
        let stream = Stream::Socket(Socket::Single(Async::new(socket)?));
        self.open(stream, None).await.map(|(ws, _)| ws)
    }

    /// Connects and then calls back, in a task that `spawn` runs, until the connection has ended.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), ws_smol::Error> {
    /// use std::time::Duration;
    /// use ws_smol::{Callbacks, Client};
    ///
    /// let callbacks = Callbacks::new()
    ///     .on_message(|_session, message| println!("{message}"))
    ///     .on_disconnect(|_session, closure| println!("{closure}"));
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
    /// As [`connect`](Self::connect), and then nothing is called.
    pub async fn start(self, callbacks: Callbacks, spawn: impl FnOnce(Task)) -> Result<ClientHandle, Error> {
        let url = self.request.as_ref().map_err(|&error| error)?.url();
        let path = url.target().split('?').next().unwrap_or_default().to_owned();
        let (ws, response) = self.connect_with_response().await?;
        let (handle, task) = ClientHandle::start(ws, response, path, callbacks);
        spawn(task);
        Ok(handle)
    }

    /// Drives the opening handshakes, of TLS and of WebSocket, to their end.
    async fn open(self, stream: Stream, peer: Option<SocketAddr>) -> Result<(WebSocket, Response), Error> {
        let request = self.request?;
        let tls = match request.url().is_secure() {
            true => Some(self.tls.session(request.url().server_name())?),
            false => None,
        };
        let clock = Clock::start();
        let opening = Opening::new(stream, peer, clock, tls);
        let (connection, opening, response) =
            open(opening, &request, &self.handshake, self.config, clock).await?;
        let duplex = opening.into_duplex(connection);
        Ok((WebSocket::new(duplex, self.read_timeout), response))
    }

    /// Connects to the first address of the host that can be reached, and returns that too.
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

/// Drives the opening handshake to its end.
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
            // A server that refuses may not wait for the whole request.
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
        None => Ok(Stream::Socket(Socket::Single(socket))),
    }
}
