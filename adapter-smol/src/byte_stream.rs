//! A connection as a stream of bytes.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_lite::{AsyncBufRead, AsyncRead, AsyncWrite};
use ws_core::{Chunk, CloseCode, Event};
use ws_transport::{ByteInput, Error, MAX_BYTE_WRITE};

use crate::{Receiver, Sender, WebSocket};

/// A connection as a stream of bytes: the payloads of the peer's binary messages, one after another. The boundaries of
/// messages have no meaning. Use it to run another protocol over a WebSocket, such as SSH, VNC or MQTT.
///
/// ```no_run
/// # async fn run() -> Result<(), ws_smol::Error> {
/// use futures_lite::{AsyncBufReadExt as _, AsyncWriteExt as _};
///
/// let mut stream = ws_smol::connect("ws://127.0.0.1:9001/smtp").await?.into_byte_stream();
/// let mut greeting = String::new();
/// stream.read_line(&mut greeting).await?;
/// stream.write_all(b"QUIT\r\n").await?;
/// stream.flush().await?;
/// stream.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// Each write queues a binary message of at most 64 KiB. A flush sends it, and so does a read before it waits. For many
/// small writes, use a `BufWriter`. A read returns 0 after the connection has ended
/// [normally](crate::CloseInfo::is_normal). Any other end is an error, so a truncated stream is never mistaken for a
/// complete one. A text message is an error of the kind `InvalidData`. Closing the stream (`AsyncWrite::poll_close`) sends
/// the queued bytes and a Close with 1000.
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
    /// Splits the stream into its two directions, for two tasks.
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
    /// discarded.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::close`].
    pub async fn close(mut self) -> Result<(), Error> {
        self.ws.close(CloseCode::NORMAL_CLOSURE, "").await
    }
}

impl ByteWriter {
    /// Sends the queued bytes and a Close with 1000, see [`Sender::close`]. The [`ByteReader`] has to continue to read up
    /// to the end of the stream.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Sender::close`].
    pub async fn close(&self) -> Result<(), Error> {
        self.0.close(CloseCode::NORMAL_CLOSURE, "").await
    }
}

impl Receiver {
    /// Polls for the next chunk. All polls of one wait share one deadline.
    pub(crate) fn poll_receive_chunk(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Chunk<'static>>, Error>> {
        let mut wait = self.duplex.stream_wait();
        let received = self.duplex.poll_receive(cx, &mut wait, &mut |event, _| match event {
            Event::Message(message) => Some(Chunk::last(message.into_owned())),
            Event::Chunk(chunk) => Some(chunk.into_owned()),
            _ => None,
        });
        let received = ready!(received);
        self.duplex.end_stream_wait();
        Poll::Ready(received)
    }
}

/// Receives until there are bytes. Returns no bytes at the end of the stream.
fn poll_fill<'i>(
    receiver: &Receiver,
    input: &'i mut ByteInput,
    cx: &mut Context<'_>,
) -> Poll<io::Result<&'i [u8]>> {
    while input.unread().is_empty() {
        let Some(chunk) = ready!(receiver.poll_receive_chunk(cx))? else { break };
        input.refill(chunk)?;
    }
    Poll::Ready(Ok(input.unread()))
}

impl Sender {
    /// Queues one message.
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let part = &bytes[..bytes.len().min(MAX_BYTE_WRITE)];
        if !part.is_empty() {
            self.duplex.look();
            ready!(self.duplex.poll_queue(cx, |driver| driver.send(part.into())))?;
        }
        Poll::Ready(Ok(part.len()))
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.duplex.poll_flush_all(cx).map_err(Into::into)
    }

    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.duplex.begin_close(CloseCode::NORMAL_CLOSURE, "")?;
        // A failed connection does not need to be closed.
        self.duplex.poll_flush_all(cx).map(|_| Ok(()))
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(poll_fill(&this.ws.receiver, &mut this.input, cx))?;
        Poll::Ready(Ok(this.input.copy_to(buffer)))
    }
}

impl AsyncBufRead for ByteStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        poll_fill(&this.ws.receiver, &mut this.input, cx)
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        self.input.consume(bytes);
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.ws.sender.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ws.sender.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ws.sender.poll_close(cx)
    }
}

impl AsyncRead for ByteReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(poll_fill(&this.receiver, &mut this.input, cx))?;
        Poll::Ready(Ok(this.input.copy_to(buffer)))
    }
}

impl AsyncBufRead for ByteReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        poll_fill(&this.receiver, &mut this.input, cx)
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        self.input.consume(bytes);
    }
}

impl AsyncWrite for ByteWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(cx)
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
