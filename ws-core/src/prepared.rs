use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::{
    Message,
    frame::{Header, Opcode},
};

/// A message that is encoded once and sent to any number of connections.
///
/// A server sends the same bytes to all, so that each further connection costs a reference count. A client
/// has to mask anew each time and copies. Cloning is cheap.
///
/// ```
/// use ws_core::PreparedMessage;
///
/// let news = PreparedMessage::new("to everyone");
/// assert_eq!(news.len(), 11);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PreparedMessage {
    /// The unmasked frame, header and payload.
    frame: Bytes,
    header_len: usize,
    opcode: Opcode,
}

impl PreparedMessage {
    /// Encodes `message`.
    pub fn new<'m>(message: impl Into<Message<'m>>) -> Self {
        let message = message.into();
        let opcode = if message.is_text() { Opcode::Text } else { Opcode::Binary };
        let payload = message.as_bytes();
        let header = Header::new(opcode, payload.len() as u64).encode();
        let mut frame = Vec::with_capacity(header.len().saturating_add(payload.len()));
        frame.extend_from_slice(&header);
        frame.extend_from_slice(payload);
        Self { header_len: header.len(), frame: Bytes::from(frame), opcode }
    }

    /// The payload's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.payload().len()
    }

    /// Whether the payload has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload().is_empty()
    }

    pub(crate) fn frame(&self) -> &Bytes {
        &self.frame
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.frame.get(self.header_len..).unwrap_or_default()
    }

    pub(crate) const fn opcode(&self) -> Opcode {
        self.opcode
    }
}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreparedMessage({:?}, {} bytes)", self.opcode, self.len())
    }
}
