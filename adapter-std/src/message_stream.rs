//! One message as a stream of bytes.

use std::{
    fmt,
    io::{self, BufRead, ErrorKind, Read, Write},
};

use ws_core::{Chunk, Message};
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

/// Writes one binary message as a stream of bytes, without its length in advance. Call [`finish`](Self::finish) at its end.
/// Until then no other sender can send a message. If it is dropped before, the message is
/// [aborted](Sender::abort_message), which closes the connection.
pub struct MessageWriter {
    sender: Sender,
    buffer: Vec<u8>,
    is_begun: bool,
}

impl Receiver {
    /// Waits for the next message, and returns a reader of its payload. Returns `None` if the connection has ended
    /// [normally](crate::CloseInfo::is_normal).
    ///
    /// ```no_run
    /// use std::{fs::File, io};
    /// use ws_std::{Client, Delivery};
    ///
    /// let client = Client::new("ws://127.0.0.1:9001/video");
    /// // The message is written to the file while it arrives.
    /// let client = client.configure(|config| config.delivery = Delivery::Chunks);
    /// let (_sender, mut receiver) = client.connect()?.split();
    /// if let Some(mut message) = receiver.message_reader()? {
    ///     io::copy(&mut message, &mut File::create("video.mp4")?)?;
    /// }
    /// # Ok::<(), ws_std::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`receive`](Self::receive).
    pub fn message_reader(&mut self) -> Result<Option<MessageReader<'_>>, Error> {
        let Some(Chunk { payload, last }) = self.receive_chunk()? else { return Ok(None) };
        let (is_text, mut input) = (payload.is_text(), ByteInput::default());
        input.replace(payload);
        Ok(Some(MessageReader { receiver: self, input, is_text, is_last: last }))
    }
}

impl Sender {
    /// Returns a writer for one binary message, which is sent in frames of at most 16 KiB.
    ///
    /// ```no_run
    /// use std::{fs::File, io};
    ///
    /// let ws = ws_std::connect("ws://127.0.0.1:9001/upload")?;
    /// let mut message = ws.binary_writer();
    /// io::copy(&mut File::open("video.mp4")?, &mut message)?;
    /// message.finish()?;
    /// # Ok::<(), ws_std::Error>(())
    /// ```
    #[must_use]
    pub fn binary_writer(&self) -> MessageWriter {
        MessageWriter { sender: self.clone(), buffer: Vec::new(), is_begun: false }
    }
}

impl WebSocket {
    /// Waits for the next message, and returns a reader of its payload, see [`Receiver::message_reader`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`receive`](Self::receive).
    pub fn message_reader(&mut self) -> Result<Option<MessageReader<'_>>, Error> {
        self.receiver.message_reader()
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
}

impl Read for MessageReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill_buf()?;
        Ok(self.input.copy_to(buffer))
    }
}

impl BufRead for MessageReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.input.unread().is_empty() && !self.is_last {
            let chunk = self.receiver.receive_chunk()?;
            let within = || io::Error::new(ErrorKind::UnexpectedEof, "the connection ended within a message");
            let Chunk { payload, last } = chunk.ok_or_else(within)?;
            self.is_last = last;
            self.input.replace(payload);
        }
        Ok(self.input.unread())
    }

    fn consume(&mut self, bytes: usize) {
        self.input.consume(bytes);
    }
}

impl Drop for MessageReader<'_> {
    fn drop(&mut self) {
        if !self.is_last {
            self.receiver.skipped.begin();
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
    pub fn finish(mut self) -> Result<(), Error> {
        self.sender.send_chunk(Chunk::last(&self.buffer))?;
        self.is_begun = false;
        Ok(())
    }

    fn send_buffer(&mut self) -> io::Result<()> {
        self.sender.send_chunk(Chunk::new(Message::from(&self.buffer)))?;
        self.is_begun = true;
        self.buffer.clear();
        Ok(())
    }
}

impl Write for MessageWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= Self::MAX_FRAME {
            self.send_buffer()?;
        }
        let part = &bytes[..bytes.len().min(Self::MAX_FRAME - self.buffer.len())];
        self.buffer.extend_from_slice(part);
        Ok(part.len())
    }

    /// Sends the bytes that were written, as a part of the message.
    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.send_buffer() }
    }
}

impl Drop for MessageWriter {
    fn drop(&mut self) {
        if self.is_begun {
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
