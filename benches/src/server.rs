//! A server in a process of its own.

use std::{
    io::{BufRead as _, BufReader, Error, Read as _, Result, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
};

/// A server process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts a program that prints the line `listening on ADDRESS`, and returns when it does. The address may have the
    /// form of a `ws://` URL.
    ///
    /// # Errors
    ///
    /// Returns an error if the program cannot be started, or prints another line.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take();
        // From here on, an early return ends the process.
        let mut server = Self { process, address: String::new() };
        let mut line = String::new();
        BufReader::new(output.ok_or_else(|| Error::other("no output of the server"))?)
            .read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ");
        let address = address.ok_or_else(|| Error::other(format!("the server does not listen: {line}")))?;
        server.address = address.trim_start_matches("ws://").trim_end_matches('/').to_owned();
        Ok(server)
    }

    /// Returns the address and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ends this process when standard input ends, which is when the process that started it has ended.
pub fn end_with_parent() {
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}

/// Returns a request to open a WebSocket, with additional header lines.
pub fn request(address: &str, path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// The header line of a client that offers compression.
pub const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// Opens a WebSocket that offers compression.
///
/// # Errors
///
/// Returns an error if the server does not accept it.
pub fn open(address: &str, path: &str) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.write_all(request(address, path, DEFLATE).as_bytes())?;
    let head = read_head(&mut socket)?;
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(Error::other(String::from_utf8_lossy(&head).into_owned()));
    }
    Ok(socket)
}

/// Reads the head of a response.
///
/// # Errors
///
/// Returns an error if the stream ends or fails before.
pub fn read_head(socket: &mut TcpStream) -> Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}
