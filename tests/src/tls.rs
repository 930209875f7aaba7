//! Raw TLS streams with helpers for HTTP and WebSocket frames. A test may also send invalid bytes.

use std::{
    io::{self, Read, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use ws_transport::tls::rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConnection,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::{
    PATIENCE,
    certificates::{Authority, Identity},
    wire::{self, Frame},
};

/// One end of a TLS connection over TCP, and of a WebSocket if the constructor opens one.
#[derive(Debug)]
pub struct RawTls {
    connection: Connection,
    socket: TcpStream,
}

impl RawTls {
    /// Creates a client of a server of the shared [`Authority`] that proposes these application protocols. The first
    /// write or read performs the handshake.
    pub fn connect(address: SocketAddr, protocols: &[&str]) -> Self {
        Self::connect_over(TcpStream::connect(address).expect("a connection"), protocols)
    }

    fn connect_over(socket: TcpStream, protocols: &[&str]) -> Self {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(Authority::shared().pem().as_bytes());
        roots.add(authority.expect("PEM")).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a configuration");
        Self::new(connection.into(), socket)
    }

    /// Connects and opens a WebSocket.
    pub fn open(address: SocketAddr) -> Self {
        Self::open_over(TcpStream::connect(address).expect("a connection"))
    }

    /// Same as [`open`](Self::open) over an existing connection.
    pub fn open_over(socket: TcpStream) -> Self {
        let mut raw = Self::connect_over(socket, &["http/1.1"]);
        raw.write(wire::request("/", &[]));
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    /// Waits for a client as a server with this certificate. The first write or read completes the TLS handshake.
    pub fn accept_tls(listener: &TcpListener, identity: &Identity) -> Self {
        let config = identity.serving().build().expect("a configuration");
        let connection = ServerConnection::new(config).expect("a configuration");
        Self::new(connection.into(), listener.accept().expect("a client").0)
    }

    /// As [`accept_tls`](Self::accept_tls), and opens the client's WebSocket.
    pub fn accept(listener: &TcpListener, identity: &Identity) -> Self {
        let mut raw = Self::accept_tls(listener, identity);
        let head = raw.head();
        raw.write(wire::response(&head));
        raw
    }

    /// Calls this function with a URL to connect a client, and opens its WebSocket as a server of the shared
    /// [`Authority`].
    pub fn connected<T: Send>(client: impl FnOnce(&str) -> T + Send) -> (T, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("wss://{}/", listener.local_addr().expect("an address"));
        thread::scope(|scope| {
            let connecting = scope.spawn(move || client(&url));
            let raw = Self::accept(&listener, &Authority::shared().server());
            (connecting.join().expect("a client"), raw)
        })
    }

    fn new(connection: Connection, socket: TcpStream) -> Self {
        socket.set_nodelay(true).expect("TCP_NODELAY");
        socket.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
        socket.set_write_timeout(Some(PATIENCE)).expect("SO_SNDTIMEO");
        Self { connection, socket }
    }

    /// Completes the TLS handshake.
    pub fn handshake(&mut self) -> io::Result<()> {
        while self.connection.is_handshaking() {
            self.connection.complete_io(&mut self.socket)?;
        }
        Ok(())
    }

    /// Returns the negotiated application protocol.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Returns the peer's certificate.
    pub fn peer_certificate(&self) -> Vec<u8> {
        self.connection.peer_certificates().expect("a certificate")[0].to_vec()
    }

    /// Encrypts and writes bytes.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.handshake().expect("a handshake");
        for record in bytes.as_ref().chunks(16 << 10) {
            self.connection.writer().write_all(record).expect("a write");
            self.flush();
        }
    }

    /// Returns the encrypted records of these bytes. The caller has to write them next.
    pub fn seal(&mut self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        self.handshake().expect("a handshake");
        let mut sealed = Vec::new();
        for record in bytes.as_ref().chunks(16 << 10) {
            self.connection.writer().write_all(record).expect("a write");
            while self.connection.wants_write() {
                self.connection.write_tls(&mut sealed).expect("a write");
            }
        }
        sealed
    }

    fn flush(&mut self) {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.socket).expect("a write");
        }
    }

    /// Reads a head, byte by byte.
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(self.read(&mut byte).expect("a head"), 1, "the stream ended in the head");
            head.push(byte[0]);
        }
        String::from_utf8(head).expect("UTF-8")
    }

    /// Reads a frame. Returns `None` at the end of the stream, which `close_notify` must announce.
    pub fn frame(&mut self) -> Option<Frame> {
        Frame::read(self).expect("a frame or a clean end")
    }

    /// Sends `close_notify` and keeps the TCP stream open.
    pub fn notify(&mut self) {
        self.connection.send_close_notify();
        self.flush();
    }

    /// Sends `close_notify` and ends the stream.
    pub fn end(&mut self) {
        self.notify();
        self.end_without_notify();
    }

    /// Ends the stream without `close_notify`.
    pub fn end_without_notify(&mut self) {
        self.socket.shutdown(Shutdown::Write).expect("an end");
    }

    /// Returns the socket below TLS.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

/// Returns zero at an end that the peer announced. Any other end is an error.
impl Read for RawTls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.handshake()?;
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.connection.read_tls(&mut self.socket)?;
                    self.connection.process_new_packets().map_err(io::Error::other)?;
                    self.flush();
                }
                result => return result,
            }
        }
    }
}
