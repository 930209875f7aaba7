//! Views of a connection, and of one message, as streams of bytes.

use std::{
    fmt,
    future::poll_fn,
    io::{self, ErrorKind},
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
    fn poll_receive_chunk(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk<'static>>, Error>> {
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

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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

/// Reads one message as a stream of bytes, as they arrive under [`Delivery::Chunks`](crate::Delivery::Chunks). Otherwise
/// the message has arrived completely. If it is dropped before its end, the rest of the message is skipped.
pub struct MessageReader<'r> {
    receiver: &'r mut Receiver,
    input: ByteInput,
    is_text: bool,
    is_last: bool,
}

/// Writes one binary message as a stream of bytes, without its length in advance. Call [`finish`](Self::finish) or close it
/// at its end. Until then no other sender can send a message. If it is dropped before, the message is
/// [aborted](Sender::abort_message), which closes the connection.
pub struct MessageWriter {
    sender: Sender,
    buffer: Vec<u8>,
    is_begun: bool,
    is_finished: bool,
    /// A chunk that waits for room. It has to be sent unchanged. Contains `true` if it ends the message.
    waiting: Option<bool>,
}

impl Receiver {
    /// Waits for the next message, and returns a reader of its payload. Returns `None` if the connection has ended
    /// [normally](crate::CloseInfo::is_normal).
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), ws_smol::Error> {
    /// use futures_lite::io;
    /// use smol::fs::File;
    /// use ws_smol::{Client, Delivery};
    ///
    /// let client = Client::new("ws://127.0.0.1:9001/video");
    /// // The message is written to the file while it arrives.
    /// let client = client.configure(|config| config.delivery = Delivery::Chunks);
    /// let (_sender, mut receiver) = client.connect().await?.split();
    /// if let Some(message) = receiver.message_reader().await? {
    ///     io::copy(message, File::create("video.mp4").await?).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`receive`](Self::receive).
    pub async fn message_reader(&mut self) -> Result<Option<MessageReader<'_>>, Error> {
        let Some(Chunk { payload, last }) = self.receive_chunk().await? else { return Ok(None) };
        let (is_text, mut input) = (payload.is_text(), ByteInput::default());
        input.replace(payload);
        Ok(Some(MessageReader { receiver: self, input, is_text, is_last: last }))
    }
}

impl Sender {
    /// Returns a writer for one binary message, which is sent in frames of at most 16 KiB.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), ws_smol::Error> {
    /// use futures_lite::io;
    /// use smol::fs::File;
    ///
    /// let ws = ws_smol::connect("ws://127.0.0.1:9001/upload").await?;
    /// let mut message = ws.binary_writer();
    /// io::copy(File::open("video.mp4").await?, &mut message).await?;
    /// message.finish().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn binary_writer(&self) -> MessageWriter {
        MessageWriter {
            sender: self.clone(),
            buffer: Vec::new(),
            is_begun: false,
            is_finished: false,
            waiting: None,
        }
    }
}

impl WebSocket {
    /// Waits for the next message, and returns a reader of its payload, see [`Receiver::message_reader`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`receive`](Self::receive).
    pub async fn message_reader(&mut self) -> Result<Option<MessageReader<'_>>, Error> {
        self.receiver.message_reader().await
    }

    /// Returns a writer for one binary message, see [`Sender::binary_writer`].
    #[must_use]
    pub fn binary_writer(&self) -> MessageWriter {
        self.sender.binary_writer()
    }
}

impl MessageReader<'_> {
    /// Returns `true` if the message is text. The bytes are then UTF-8.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        self.is_text
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        while self.input.unread().is_empty() && !self.is_last {
            let chunk = ready!(self.receiver.poll_receive_chunk(cx))?;
            let within = || io::Error::new(ErrorKind::UnexpectedEof, "the connection ended within a message");
            let Chunk { payload, last } = chunk.ok_or_else(within)?;
            self.is_last = last;
            self.input.replace(payload);
        }
        Poll::Ready(Ok(self.input.unread()))
    }
}

impl AsyncRead for MessageReader<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_fill(cx))?;
        Poll::Ready(Ok(self.input.copy_to(buffer)))
    }
}

impl AsyncBufRead for MessageReader<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().poll_fill(cx)
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        self.input.consume(bytes);
    }
}

impl Drop for MessageReader<'_> {
    fn drop(&mut self) {
        if !self.is_last {
            self.receiver.duplex.skip_rest();
        }
    }
}

impl MessageWriter {
    /// Maximum size of a frame in bytes.
    const MAX_FRAME: usize = 16 << 10;

    /// Sends the end of the message, and waits until the operating system has accepted it.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Sender::send_chunk`].
    pub async fn finish(mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.is_finished {
            ready!(self.poll_send_buffer(cx, true))?;
        }
        self.sender.duplex.poll_flush_all(cx)
    }

    /// Queues the buffer as a chunk, which ends the message if `last` is `true`.
    fn poll_send_buffer(&mut self, cx: &mut Context<'_>, last: bool) -> Poll<Result<(), Error>> {
        let last = *self.waiting.get_or_insert(last);
        self.sender.duplex.look();
        let mut chunk = Some(Chunk { payload: (&self.buffer).into(), last });
        ready!(self.sender.duplex.poll_send_chunk(cx, &mut chunk))?;
        (self.is_begun, self.is_finished, self.waiting) = (true, last, None);
        self.buffer.clear();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MessageWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.waiting.is_some() || self.buffer.len() >= Self::MAX_FRAME {
            ready!(self.poll_send_buffer(cx, false))?;
        }
        if self.is_finished {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let part = &bytes[..bytes.len().min(Self::MAX_FRAME - self.buffer.len())];
        self.buffer.extend_from_slice(part);
        Poll::Ready(Ok(part.len()))
    }

    /// Sends the bytes that were written, as a part of the message.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.buffer.is_empty() {
            ready!(self.poll_send_buffer(cx, false))?;
        }
        self.sender.poll_flush(cx)
    }

    /// Sends the end of the message, like [`finish`](MessageWriter::finish).
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finish(cx).map_err(Into::into)
    }
}

impl Drop for MessageWriter {
    fn drop(&mut self) {
        if self.is_begun && !self.is_finished {
            self.sender.abort_message();
        }
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

impl fmt::Debug for MessageReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReader").field("is_text", &self.is_text).finish_non_exhaustive()
    }
}

impl fmt::Debug for MessageWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter").field("buffered", &self.buffer.len()).finish_non_exhaustive()
    }
}
