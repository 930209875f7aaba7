//! A driver of `ws-core` on tokio's sockets. It follows the numbered rules in the documentation of that crate.

use std::{io::ErrorKind::WouldBlock, mem, ops::Range, time::Duration};

use bytes::Buf as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::{net::TcpStream, task::yield_now, time::Instant, time::timeout};
use ws_core::{Connection, Event, HandshakeError, Message, Timestamp};

/// A connection. It belongs to one task.
#[derive(Debug)]
pub struct WebSocket {
    /// Queue messages here. The next [`receive`](Self::receive) writes them.
    pub connection: Connection,
    stream: TcpStream,
    opened: Instant,
    buffer: Vec<u8>,
    unread: Range<usize>,
    is_shut_down: bool,
}

impl WebSocket {
    /// Creates a WebSocket from a stream, its connection, and a buffer with unread input.
    pub fn new(stream: TcpStream, connection: Connection, (buffer, unread): (Vec<u8>, Range<usize>)) -> Self {
        Self { connection, stream, opened: Instant::now(), buffer, unread, is_shut_down: false }
    }

    /// Returns the next message, or `None` after the end of the connection. During the wait, it writes the queued
    /// messages, answers pings and enforces deadlines. The future can be dropped at any time, as `select!` does.
    pub async fn receive(&mut self) -> Option<Message<'static>> {
        loop {
            let mut input = &mut self.buffer[self.unread.clone()];
            let event = self.connection.receive(&mut input);
            self.unread.start = self.unread.end - input.len();
            match event {
                Ok(Some(Event::Message(message))) => return Some(message.into_owned()),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) if self.connection.is_finished() => return None,
                Ok(None) | Err(_) => self.turn().await,
            }
        }
    }

    /// Writes and reads. If there is no input, reports the time and waits. No bytes are moved during the wait.
    async fn turn(&mut self) {
        self.write();
        if self.connection.wants_receive() {
            return yield_now().await; // this input may take long, so other tasks are first
        }
        if self.connection.wants_read() {
            match self.stream.try_read(&mut self.buffer) {
                Ok(read @ 1..) => return self.unread = 0..read,
                Err(error) if error.kind() == WouldBlock => {}
                Ok(0) | Err(_) => self.connection.receive_eof(),
            }
        }
        let now = Timestamp::from(self.opened.elapsed());
        self.connection.handle_timeout(now);
        self.write();
        if self.connection.wants_shutdown() && !mem::replace(&mut self.is_shut_down, true) {
            let _ = self.stream.shutdown().await; // it does not wait
        }
        let interest = match (self.connection.wants_read(), self.connection.wants_write()) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (false, true) => Interest::WRITABLE,
            (_, false) => Interest::READABLE,
        };
        let due = self.connection.poll_timeout();
        let wait = due.map_or(Duration::MAX, |due| due.saturating_duration_since(now));
        let _ = timeout(wait, self.stream.ready(interest)).await;
    }

    /// Writes as much as the socket accepts.
    fn write(&mut self) {
        while self.connection.wants_write() {
            let written = self.stream.try_write(self.connection.transmit().chunk());
            match written {
                Ok(written) => self.connection.transmit().advance(written),
                Err(error) if error.kind() == WouldBlock => break,
                Err(_) => self.connection.discard_output(),
            }
        }
    }
}

/// Reads until `receive` has taken a head. Returns its result, and a buffer with the bytes behind it.
pub async fn read_head<T>(
    stream: &mut TcpStream,
    mut receive: impl FnMut(&mut &mut [u8]) -> Result<Option<T>, HandshakeError>,
) -> Result<(T, (Vec<u8>, Range<usize>)), HandshakeError> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = stream.read(&mut buffer).await.ok().filter(|&read| read > 0).ok_or(HandshakeError::Eof)?;
        let mut input = &mut buffer[..read];
        if let Some(head) = receive(&mut input)? {
            let unread = read - input.len()..read;
            return Ok((head, (buffer, unread)));
        }
    }
}
