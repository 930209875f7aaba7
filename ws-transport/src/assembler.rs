use std::fmt;

use ws_core::{Chunk, Event, Message};

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

/// The rest of a message that the application has not read to its end. It is dropped when it arrives.
#[derive(Debug, Default)]
pub struct SkippedRest(bool);

impl SkippedRest {
    /// Skips the rest of the message whose chunks are being received.
    pub const fn begin(&mut self) {
        self.0 = true;
    }

    /// Returns `true` if the event is a part of the rest.
    #[inline]
    pub const fn contains(&mut self, event: &Event<'_>) -> bool {
        let Event::Chunk(chunk) = event else { return false };
        let is_skipped = self.0;
        self.0 = is_skipped && !chunk.last;
        is_skipped
    }
}

/// Without the payload.
impl fmt::Debug for MessageAssembler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageAssembler({} bytes)", self.0.as_ref().map_or(0, Message::len))
    }
}
