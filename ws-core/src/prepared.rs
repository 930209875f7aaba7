use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

#[cfg(feature = "deflate")]
use {
    alloc::sync::Arc,
    std::sync::{Mutex, PoisonError},
};

use crate::{
    Message,
    extension::Compressor,
    frame::{Header, Opcode},
};

/// A message for broadcast: it is encoded once and sent to any number of connections.
///
/// A server sends the same bytes to all connections, so each further connection costs only a reference count. A
/// client has to mask the message each time, and so copies it. Cloning is cheap.
///
/// ```
/// use ws_core::PreparedMessage;
///
/// let news = PreparedMessage::new("to everyone");
/// assert_eq!(news.len(), 11);
/// ```
#[derive(Clone)]
pub struct PreparedMessage {
    /// The unmasked frame: header and payload.
    frame: Bytes,
    header_len: usize,
    opcode: Opcode,
    /// The compressed frame of the same message, for each set of parameters that was requested.
    #[cfg(feature = "deflate")]
    compressed: Arc<Mutex<Vec<(CompressionKey, Bytes)>>>,
}

/// The level and the window with which a message was compressed.
#[cfg(feature = "deflate")]
type CompressionKey = (u8, u8);

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
        Self {
            header_len: header.len(),
            frame: Bytes::from(frame),
            opcode,
            #[cfg(feature = "deflate")]
            compressed: Arc::default(),
        }
    }

    /// Returns the length of the payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.payload().len()
    }

    /// Returns `true` if the payload is empty.
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

    /// Returns the frame of the compressed message, or the uncompressed one if that is shorter. Returns `None` if the
    /// result of the compressor depends on earlier messages.
    #[cfg(feature = "deflate")]
    pub(crate) fn compressed_frame(&self, compressor: &mut Compressor) -> Option<Bytes> {
        let parameters = compressor.shared_parameters()?;
        let mut compressed = self.compressed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, frame)) = compressed.iter().find(|(has, _)| *has == parameters) {
            return Some(frame.clone());
        }
        let payload = compressor.compress(self.payload());
        let frame = if payload.len() < self.len() {
            let header = Header { rsv1: true, ..Header::new(self.opcode, payload.len() as u64) }.encode();
            Bytes::from([&header[..], &payload].concat())
        } else {
            self.frame.clone()
        };
        compressed.push((parameters, frame.clone()));
        Some(frame)
    }

    #[cfg(not(feature = "deflate"))]
    pub(crate) fn compressed_frame(&self, _compressor: &mut Compressor) -> Option<Bytes> {
        None
    }

    pub(crate) const fn opcode(&self) -> Opcode {
        self.opcode
    }
}

impl PartialEq for PreparedMessage {
    fn eq(&self, other: &Self) -> bool {
        self.frame == other.frame
    }
}

impl Eq for PreparedMessage {}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreparedMessage({:?}, {} bytes)", self.opcode, self.len())
    }
}
