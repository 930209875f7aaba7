use std::fmt;

use ws_core::{Chunk, Message};

/// Assembles a message from its chunks.
#[derive(Default)]
pub struct MessageAssembler(Option<Message<'static>>);

impl MessageAssembler {
    /// Adds the next chunk. Returns the message if the chunk is its last one.
    pub fn add(&mut self, chunk: Chunk<'static>) -> Option<Message<'static>> {
        let joined = match (self.0.take(), chunk.payload) {
            (Some(Message::Text(mut text)), Message::Text(more)) => {
                text.to_mut().push_str(&more);
                Message::Text(text)
            }
            (Some(Message::Binary(mut bytes)), Message::Binary(more)) => {
                bytes.to_mut().extend_from_slice(&more);
                Message::Binary(bytes)
            }
            (_, first) => first,
        };
        if chunk.last {
            return Some(joined);
        }
        self.0 = Some(joined);
        None
    }
}

/// Without the payload.
impl fmt::Debug for MessageAssembler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageAssembler({} bytes)", self.0.as_ref().map_or(0, Message::len))
    }
}
