//! The sockets of an attacker. One thread writes for all of them.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt::set_socket_linger,
};
use ws_benches::{
    frames::frame,
    server::{DEFLATE, read_head, request},
};

use crate::{Result, servers::Needs};

/// Bytes that a connection takes without any payload: the headers of SYN, ACK and RST.
const CONNECTION: u64 = 120;

/// Maximum time of a flood, and of one read or write.
const LIMIT: Duration = Duration::from_secs(3);

/// Maximum time in which an attack connects.
const TOTAL: Duration = Duration::from_secs(8);

/// Time without progress after which a flood is over.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// The treatment of the server's answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    Read,
    Unread,
}

pub(crate) struct Attacker<'a> {
    pub(crate) address: &'a str,
    /// Bytes that this attacker has sent.
    pub(crate) bytes: u64,
    /// The header line that offers compression, or an empty string.
    offer: &'static str,
    began: Instant,
    /// Connections that stay open until the costs are read.
    held: Vec<TcpStream>,
}

impl<'a> Attacker<'a> {
    /// Creates an attacker. Its WebSockets offer compression only if the attack needs it.
    pub(crate) fn new(address: &'a str, needs: Needs) -> Self {
        let offer = if needs == Needs::Deflate { DEFLATE } else { "" };
        Self { address, bytes: 0, offer, began: Instant::now(), held: Vec::new() }
    }

    /// Connects. The connection ends with a reset, so that no local port stays in use.
    pub(crate) fn connect(&mut self) -> Result<TcpStream> {
        if self.began.elapsed() > TOTAL {
            return Err("the attack takes too long".into());
        }
        let socket = TcpStream::connect_timeout(&self.address.parse::<SocketAddr>()?, LIMIT)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket.set_write_timeout(Some(LIMIT))?;
        set_socket_linger(&socket, Some(Duration::ZERO))?;
        self.bytes += CONNECTION;
        Ok(socket)
    }

    /// Connects and opens a WebSocket.
    pub(crate) fn open(&mut self) -> Result<TcpStream> {
        let mut socket = self.connect()?;
        let request = request(self.address, "/", self.offer);
        self.write(&socket, request.as_bytes());
        let head = read_head(&mut socket)?;
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return Err(String::from_utf8_lossy(&head).into());
        }
        Ok(socket)
    }

    pub(crate) fn open_all(&mut self, count: usize) -> Result<Vec<TcpStream>> {
        (0..count).map(|_| self.open()).collect()
    }

    /// Writes bytes, or a part of them if the server closes the connection or stops reading.
    pub(crate) fn write(&mut self, mut socket: &TcpStream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match socket.write(bytes) {
                Ok(len) => {
                    self.bytes += len as u64;
                    bytes = &bytes[len..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Keeps a connection open until the costs are read.
    pub(crate) fn hold(&mut self, socket: TcpStream) {
        self.held.push(socket);
    }

    /// Writes one byte of `bytes` after the other, alternating between new connections that this function returns.
    pub(crate) fn drip(&mut self, sockets: Vec<TcpStream>, bytes: &[u8]) {
        for byte in bytes {
            for socket in &sockets {
                self.write(socket, &[*byte]);
            }
        }
        self.held.extend(sockets);
    }

    /// Opens connections, writes these bytes once on each, and holds them.
    pub(crate) fn write_on(&mut self, count: usize, bytes: &[u8]) -> Result<()> {
        let sockets = self.open_all(count)?;
        self.flood(sockets, bytes, bytes.len(), Answers::Read)
    }

    /// Writes `unit` repeatedly on all connections, `most` bytes on each, and holds them. It ends early when the server
    /// takes no more bytes, and when the time is over.
    pub(crate) fn flood(
        &mut self,
        sockets: Vec<TcpStream>,
        unit: &[u8],
        most: usize,
        answers: Answers,
    ) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let mut floods =
            sockets.iter().map(|socket| Flood { socket, written: 0, ended: false }).collect::<Vec<_>>();
        for socket in &sockets {
            socket.set_nonblocking(true)?;
        }
        while Instant::now() < deadline {
            let mut waiting = Vec::new();
            for flood in floods.iter_mut().filter(|flood| !flood.ended) {
                let mut flags = PollFlags::empty();
                flags.set(PollFlags::OUT, flood.written < most);
                flags.set(PollFlags::IN, answers == Answers::Read);
                if !flags.is_empty() {
                    waiting.push((flood, flags));
                }
            }
            let mut polled =
                waiting.iter().map(|(flood, flags)| PollFd::new(flood.socket, *flags)).collect::<Vec<_>>();
            if polled.is_empty() || poll(&mut polled, Some(&PAUSE))? == 0 {
                break;
            }
            let ready = polled.iter().map(|polled| !polled.revents().is_empty()).collect::<Vec<_>>();
            for ((flood, flags), _) in waiting.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
                if flags.contains(PollFlags::OUT) {
                    self.bytes += flood.write(unit, most);
                }
                if answers == Answers::Read {
                    flood.read();
                }
            }
        }
        self.held.extend(sockets);
        Ok(())
    }

    /// Opens a connection and exchanges one message, so that no attack includes one-time costs.
    pub(crate) fn expect_echo(&mut self) -> Result<()> {
        let mut socket = self.open()?;
        self.write(&socket, &frame(0x82, b"echo"));
        let mut echo = [0; 6];
        socket.read_exact(&mut echo)?;
        if echo[2..] != *b"echo" {
            return Err("the server does not echo".into());
        }
        Ok(())
    }
}

/// A connection of a flood.
struct Flood<'a> {
    socket: &'a TcpStream,
    written: usize,
    ended: bool,
}

impl Flood<'_> {
    /// Returns the number of written bytes.
    fn write(&mut self, unit: &[u8], most: usize) -> u64 {
        let position = self.written % unit.len();
        let end = unit.len().min(position + (most - self.written)).min(position + (256 << 10));
        match self.socket.write(&unit[position..end]) {
            Ok(len) => {
                self.written += len;
                len as u64
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.ended = true;
                0
            }
        }
    }

    fn read(&mut self) {
        match self.socket.read(&mut [0; 64 << 10]) {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => self.ended = true,
        }
    }
}
