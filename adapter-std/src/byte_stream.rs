//! A connection as a stream of bytes.

use std::{
    fmt,
    io::{self, BufRead, Read, Write},
};

use ws_core::CloseCode;
use ws_transport::{ByteInput, Error, MAX_BYTE_WRITE};

use crate::{Receiver, Sender, WebSocket};

/// A connection as a stream of bytes: the payloads of the peer's binary messages, one after another. The boundaries of
/// messages have no meaning. Use it to run another protocol over a WebSocket, such as SSH, VNC or MQTT.
///
/// ```no_run
/// use std::io::{BufRead as _, Write as _};
///
/// let mut stream = ws_std::connect("ws://127.0.0.1:9001/smtp")?.into_byte_stream();
/// let mut greeting = String::new();
/// stream.read_line(&mut greeting)?;
/// stream.write_all(b"QUIT\r\n")?;
/// stream.flush()?;
/// stream.close()?;
/// # Ok::<(), ws_std::Error>(())
/// ```
///
/// Each write queues a binary message of at most 64 KiB. A flush sends it, and so does a read before it waits. For many
/// small writes, use a `BufWriter`. A read returns 0 after the connection has ended
/// [normally](crate::CloseInfo::is_normal). Any other end is an error, so a truncated stream is never mistaken for a
/// complete one. A text message is an error of the kind `InvalidData`.
pub struct ByteStream {
    ws: WebSocket,
    input: ByteInput,
}

/// The receiving half of a [`ByteStream`].
pub struct ByteReader {
    receiver: Receiver,
    input: ByteInput,
}

/// The sending half of a [`ByteStream`].
#[derive(Clone)]
pub struct ByteWriter(Sender);

impl WebSocket {
    /// Converts the connection into a stream of bytes.
    #[must_use]
    pub fn into_byte_stream(self) -> ByteStream {
        ByteStream { ws: self, input: ByteInput::default() }
    }
}

impl ByteStream {
    /// Splits the stream into its two directions, for two threads.
    #[must_use]
    pub fn split(self) -> (ByteWriter, ByteReader) {
        let (sender, receiver) = self.ws.split();
        (ByteWriter(sender), ByteReader { receiver, input: self.input })
    }

    /// Returns the connection, for example to query its addresses.
    #[must_use]
    pub const fn get_ref(&self) -> &WebSocket {
        &self.ws
    }

    /// Sends the queued bytes, and closes the connection with 1000, see [`WebSocket::close`]. Further bytes of the peer are
    /// dropped.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::close`].
    pub fn close(mut self) -> Result<(), Error> {
        self.ws.close(CloseCode::NORMAL_CLOSURE, "")
    }
}

impl ByteWriter {
    /// Sends the queued bytes and a Close with 1000, see [`Sender::close`]. The [`ByteReader`] has to continue to read up
    /// to the end of the stream.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Sender::close`].
    pub fn close(&self) -> Result<(), Error> {
        self.0.close(CloseCode::NORMAL_CLOSURE, "")
    }
}

/// Receives until there are bytes. Returns no bytes at the end of the stream.
fn fill<'i>(receiver: &mut Receiver, input: &'i mut ByteInput) -> io::Result<&'i [u8]> {
    while input.unread().is_empty() {
        let Some(chunk) = receiver.receive_chunk()? else { break };
        input.refill(chunk)?;
    }
    Ok(input.unread())
}

/// Queues one message.
fn write(sender: &Sender, bytes: &[u8]) -> io::Result<usize> {
    let part = &bytes[..bytes.len().min(MAX_BYTE_WRITE)];
    if !part.is_empty() {
        sender.feed(part)?;
    }
    Ok(part.len())
}

impl Read for ByteStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        fill(&mut self.ws.receiver, &mut self.input)?;
        Ok(self.input.copy_to(buffer))
    }
}

impl BufRead for ByteStream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        fill(&mut self.ws.receiver, &mut self.input)
    }

    fn consume(&mut self, bytes: usize) {
        self.input.consume(bytes);
    }
}

impl Write for ByteStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&self.ws.sender, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.ws.flush()?)
    }
}

impl Read for ByteReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        fill(&mut self.receiver, &mut self.input)?;
        Ok(self.input.copy_to(buffer))
    }
}

impl BufRead for ByteReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        fill(&mut self.receiver, &mut self.input)
    }

    fn consume(&mut self, bytes: usize) {
        self.input.consume(bytes);
    }
}

impl Write for ByteWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.0.flush()?)
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream").field("ws", &self.ws).field("input", &self.input).finish()
    }
}

impl fmt::Debug for ByteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteReader").field("receiver", &self.receiver).field("input", &self.input).finish()
    }
}

impl fmt::Debug for ByteWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByteWriter").field(&self.0).finish()
    }
}
