use std::{borrow::Cow, fmt, mem};

use ws_core::Message;

/// The memory of a small message that was sent, for the next received message. So a loop that answers each received
/// message does not allocate.
#[derive(Default)]
pub struct RecycledBuffer(Vec<u8>);

impl RecycledBuffer {
    /// Maximum size in bytes of the kept memory. Larger messages cost more to copy than to allocate.
    pub const MAX_LEN: usize = 1024;

    #[inline]
    pub(crate) fn keep(&mut self, memory: Vec<u8>) {
        self.0 = memory;
    }

    /// Converts the message into one that owns its payload.
    #[inline]
    pub fn own(&mut self, message: Message<'_>) -> Message<'static> {
        match message {
            Message::Binary(Cow::Borrowed(bytes)) if bytes.len() <= self.0.capacity() => {
                let mut owned = self.take();
                owned.extend_from_slice(bytes);
                Message::from(owned)
            }
            Message::Text(Cow::Borrowed(text)) if text.len() <= self.0.capacity() => {
                let mut owned = String::from_utf8(self.take()).unwrap_or_default();
                owned.push_str(text);
                Message::from(owned)
            }
            message => message.into_owned(),
        }
    }

    /// Frees the memory, for a connection that waits.
    pub fn release(&mut self) {
        self.0 = Vec::new();
    }

    #[inline]
    fn take(&mut self) -> Vec<u8> {
        let mut memory = mem::take(&mut self.0);
        memory.clear();
        memory
    }
}

/// Without the bytes, which are those of a message that was sent.
impl fmt::Debug for RecycledBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecycledBuffer({} bytes)", self.0.capacity())
    }
}
