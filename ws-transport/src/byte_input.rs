use std::{fmt, io};

use ws_core::{Chunk, Message};

/// Maximum size in bytes of a message that a view of a connection as a stream of bytes sends for one write. It is below
/// the default maximum message size of most peers.
pub const MAX_BYTE_WRITE: usize = 64 << 10;

/// The bytes of binary messages, for a view of a connection or of one message as a stream of bytes.
#[derive(Default)]
pub struct ByteInput {
    bytes: Vec<u8>,
    read: usize,
}

impl ByteInput {
    /// Replaces the bytes, which were all consumed, by those of a chunk.
    ///
    /// # Errors
    ///
    /// Returns an error of the kind `InvalidData` if the chunk is text.
    pub fn refill(&mut self, chunk: Chunk<'static>) -> io::Result<()> {
        if chunk.payload.is_text() {
            let text =
                "the peer sent a text message, and only binary messages are a part of the stream of bytes";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.replace(chunk.payload);
        Ok(())
    }

    /// Replaces the bytes, which were all consumed, by a payload of any kind.
    pub fn replace(&mut self, payload: Message<'static>) {
        (self.bytes, self.read) = (payload.into_bytes(), 0);
    }

    /// Returns the bytes that were not consumed.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or_default()
    }

    /// Consumes bytes. Frees their memory after the last one.
    pub fn consume(&mut self, bytes: usize) {
        self.read = self.read.saturating_add(bytes);
        if self.read >= self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Copies unread bytes into a buffer, consumes them, and returns their number.
    pub fn copy_to(&mut self, buffer: &mut [u8]) -> usize {
        let unread = self.unread();
        let len = unread.len().min(buffer.len());
        buffer[..len].copy_from_slice(&unread[..len]);
        self.consume(len);
        len
    }
}

/// Without the bytes.
impl fmt::Debug for ByteInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ByteInput({} bytes)", self.unread().len())
    }
}
