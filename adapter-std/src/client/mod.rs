mod handle;

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use ws_core::{
    Config, HandshakeConfig, Response, Url, UrlError,
    client::{Handshake, Request},
};
use ws_sessions::Callbacks;
use ws_transport::{
    AddressFailures, Clock, ConnectOptions, Deadline, Error, seed,
    tls::{ClientTls, ClientTlsConfig},
};

use crate::{WebSocket, opening::Opening, socket::Socket};

pub use self::handle::ClientHandle;

/// Connects to a server with what it needs beyond the address.
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

    /// Sets the maximum pause while the server reads nothing of what is sent to it, see [`Config::write_timeout`].
    /// Default: 30 seconds.
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
    pub fn connect(self) -> Result<WebSocket, Error> {
        self.connect_with_response().map(|(ws, _)| ws)
    }

    /// As [`connect`](Self::connect), and gives the server's response for its headers.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_with_response(self) -> Result<(WebSocket, Response), Error> {
        let url = self.request.as_ref().map_err(|&error| error)?.url();
        let socket = self.connect_socket(url)?;
        self.open(socket)
    }

    /// Opens the WebSocket over a Unix-domain socket at this path; the URL names what is asked of the
    /// server there.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_unix(self, path: impl AsRef<Path>) -> Result<WebSocket, Error> {
        let socket = self.options.connect_unix(path.as_ref())?;
        self.open(Socket::new(socket, None)?).map(|(ws, _)| ws)
    }

    /// Connects and then calls back, in a thread of its own, until the connection has ended.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ws_std::{Callbacks, Client};
    ///
    /// let callbacks = Callbacks::new()
    ///     .on_message(|_session, message| println!("{message}"))
    ///     .on_disconnect(|_session, closure| println!("{closure}"));
    /// let client = Client::new("ws://127.0.0.1:9001/chat").start(callbacks)?;
    /// client.session().send("Hello")?;
    /// client.stop(Duration::from_secs(5));
    /// # Ok::<(), ws_std::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and then nothing is called; or no thread can be started.
    pub fn start(self, callbacks: Callbacks) -> Result<ClientHandle, Error> {
        let url = self.request.as_ref().map_err(|&error| error)?.url();
        let path = url.target().split('?').next().unwrap_or_default().to_owned();
        let (ws, response) = self.connect_with_response()?;
        ClientHandle::start(ws, response, path, callbacks)
    }

    /// Drives the opening handshakes, of TLS and of WebSocket, to their end.
    fn open(self, socket: Socket) -> Result<(WebSocket, Response), Error> {
        let request = self.request?;
        let tls = match request.url().is_secure() {
            true => Some(self.tls.session(request.url().server_name())?),
            false => None,
        };
        let clock = Clock::start();
        let mut opening = Opening::new(Arc::new(socket), clock, tls, self.config.write_timeout);
        let mut handshake =
            Handshake::new(&request, &self.handshake, Arc::new(self.config), seed()?, clock.now())?;
        let due = handshake.poll_timeout();
        let mut failed = opening.write_all(&mut handshake.transmit(), due).err();
        loop {
            if let Some((connection, response)) = opening.consume(|input| handshake.receive(input))? {
                return Ok((WebSocket::new(opening.into_duplex(connection), self.read_timeout), response));
            }
            let now = clock.now();
            handshake.handle_timeout(now)?;
            // A server that refuses may not wait for the whole request: what it has sent counts before the failed write.
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
                return Err(Error::Timeout(Deadline::Connect));
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
        // The server may be gone again, and some addresses, such as 0.0.0.0, mean another one.
        let peer = socket.peer_addr().ok().and_then(|peer| peer.as_socket());
        Socket::new(socket, peer.or(Some(address)))
    }
}
