//! One message as a stream of bytes.

use std::{
    fmt,
    future::poll_fn,
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_lite::{AsyncBufRead, AsyncRead, AsyncWrite};
use ws_core::Chunk;
use ws_transport::{ByteInput, Error};

use crate::{Receiver, Sender, WebSocket};

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
