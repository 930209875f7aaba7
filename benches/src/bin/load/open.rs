//! Opens connections.

use std::{
    error::Error,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

use crate::Result;

/// Timeout for each expected answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The accept value for the key of all requests (RFC 6455, section 1.3).
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The parts of a URL.
pub(crate) struct Target {
    address: SocketAddr,
    path: String,
    /// `true` for raw TCP without a protocol.
    pub(crate) raw: bool,
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
        let raw = match scheme {
            "ws" => false,
            "tcp" => true,
            _ => return Err(format!("no such scheme: {scheme}")),
        };
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = address.parse().map_err(|error| format!("{address}: {error}"))?;
        Ok(Self { address, path: format!("/{path}"), raw })
    }

    /// Opens a connection that is ready for messages.
    pub(crate) fn open(&self) -> Result<TcpStream> {
        let mut stream = self.connect()?;
        if self.raw {
            return Ok(stream);
        }
        stream.write_all(&self.request(""))?;
        let mut head = Vec::new();
        while !self.opened(&head)? {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer).map_err(overdue)? {
                0 => return Err("the server closed instead of answering the handshake".into()),
                read => head.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(stream)
    }

    /// Opens a connection that is reset when it is dropped. So no local port stays in `TIME_WAIT`, and the server
    /// notices the end at once.
    pub(crate) fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, TIMEOUT)
            .map_err(|error| format!("{}: {error}", self.address))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        set_socket_linger(&stream, Some(Duration::ZERO))?;
        Ok(stream)
    }

    /// Returns a browser's request with additional header lines.
    pub(crate) fn request(&self, more: &str) -> Vec<u8> {
        let Self { address, path, .. } = self;
        format!(
            "GET {path} HTTP/1.1\r\n\
             Host: {address}\r\n\
             Connection: Upgrade\r\n\
             Pragma: no-cache\r\n\
             Cache-Control: no-cache\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/138.0.0.0 Safari/537.36\r\n\
             Upgrade: websocket\r\n\
             Origin: http://{address}\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Accept-Encoding: gzip, deflate, br, zstd\r\n\
             Accept-Language: en-US,en;q=0.9\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        )
        .into_bytes()
    }

    /// Returns `true` if the bytes are a complete response that accepts the WebSocket.
    pub(crate) fn opened(&self, head: &[u8]) -> Result<bool> {
        let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Ok(false);
        };
        if !head.starts_with(b"HTTP/1.1 101 ") {
            let status = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
            return Err(format!("the server refused with {}", String::from_utf8_lossy(status)).into());
        }
        if !head.windows(ACCEPT.len()).any(|bytes| bytes == ACCEPT) {
            return Err("the server's Sec-WebSocket-Accept is wrong".into());
        }
        if head.len() > end + 4 {
            return Err("the server sent something before it was asked".into());
        }
        Ok(true)
    }
}

/// Translates the error of a blocking socket's timeout.
pub(crate) fn overdue(error: io::Error) -> Box<dyn Error> {
    match error.kind() {
        ErrorKind::WouldBlock => format!("no answer came for {TIMEOUT:?}").into(),
        ErrorKind::UnexpectedEof => "the server closed".into(),
        _ => error.into(),
    }
}
