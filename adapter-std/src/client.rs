use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Type};
use ws_core::{
    Config, Connection, HandshakeError, Response, Url,
    client::{Handshake, Request},
};

use crate::{
    Deadline, Error, WebSocket,
    clock::Clock,
    duplex::{Duplex, ReadBuffer},
    socket::{Patience, Socket},
};

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
    request: Result<Request, ws_core::UrlError>,
    config: Config,
    connect_timeout: Duration,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    local_address: Option<SocketAddr>,
    nodelay: bool,
}

impl Client {
    /// A client for this address, such as `ws://example.com/chat`. What is wrong with it,
    /// [`connect`](Self::connect) tells.
    pub fn new(url: &str) -> Self {
        Self {
            request: url.parse::<Url>().map(Request::new),
            config: Config::default(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: None,
            write_timeout: Some(Duration::from_secs(30)),
            local_address: None,
            nodelay: true,
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

    /// Changes the limits and deadlines of the protocol, such as keepalive and the largest message.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// How long to try to connect, all addresses together; 10 s. The opening handshake that follows has
    /// [`open_timeout`](Config::open_timeout) for itself.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long [`receive`](WebSocket::receive) waits for a message; without end by default.
    pub fn read_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// How long a write may wait for the peer to read anything at all; 30 s.
    pub fn write_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// The address, and with it the network interface, to connect from.
    pub fn local_address(mut self, address: SocketAddr) -> Self {
        self.local_address = Some(address);
        self
    }

    /// Whether small messages are sent at once (`TCP_NODELAY`); yes by default.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
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
        let request = self.request.clone()?;
        if request.url().is_secure() {
            return Err(Error::Unsupported("wss:// needs TLS, which this version does not speak; use ws://"));
        }
        let socket = self.connect_socket(request.url())?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::from)?;
        let clock = Clock::start();
        let handshake = Handshake::new(&request, Arc::new(self.config), seed, clock.now())?;
        let mut buffer = ReadBuffer::default();
        let (connection, response) = open(handshake, &socket, clock, &mut buffer)?;
        let duplex = Arc::new(Duplex::new(Arc::new(socket), clock, buffer, connection));
        Ok((WebSocket::new(duplex, self.read_timeout), response))
    }

    fn connect_socket(&self, url: &Url) -> Result<Socket, Error> {
        let deadline = Instant::now().checked_add(self.connect_timeout);
        let mut last_error = None;
        for address in (url.host(), url.port()).to_socket_addrs()? {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                return Err(Error::Timeout(Deadline::Connect));
            }
            match self.connect_address(address, left) {
                Ok(socket) => return Ok(socket),
                Err(error) => last_error = Some((address, error)),
            }
        }
        Err(match last_error {
            Some((_, error)) if error.kind() == io::ErrorKind::TimedOut => Error::Timeout(Deadline::Connect),
            Some((address, error)) => {
                io::Error::new(error.kind(), format!("cannot connect to {address}: {error}")).into()
            }
            None => {
                io::Error::new(io::ErrorKind::NotFound, format!("the host {} has no address", url.host()))
                    .into()
            }
        })
    }

    fn connect_address(&self, address: SocketAddr, timeout: Duration) -> io::Result<Socket> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(local) = self.local_address {
            socket.bind(&local.into())?;
        }
        socket.connect_timeout(&address.into(), timeout)?;
        socket.set_tcp_nodelay(self.nodelay)?;
        Socket::new(socket, self.write_timeout)
    }
}

/// Drives the opening handshake to its end.
fn open(
    mut handshake: Handshake,
    socket: &Socket,
    clock: Clock,
    buffer: &mut ReadBuffer,
) -> Result<(Connection, Response), Error> {
    if !socket.write_all(&mut handshake.transmit(), Patience::Wait)? {
        return Err(Error::Timeout(Deadline::Write));
    }
    loop {
        if let Some(opened) = buffer.consume(|input| handshake.receive(input))? {
            return Ok(opened);
        }
        handshake.handle_timeout(clock.now())?;
        let timeout = handshake.poll_timeout().map(|due| clock.until(due));
        match buffer.fill(socket, timeout) {
            Ok(Some(0)) => return Err(handshake.receive_eof().into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(match handshake.receive_eof() {
                    HandshakeError::Eof => error.into(),
                    refused => refused.into(),
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
}
