use std::{collections::TryReserveError, fmt};

use ws_core::{Chunk, Event, Message};

/// Assembles a message from its chunks.
#[derive(Default)]
pub struct MessageAssembler(Option<Message<'static>>);

impl MessageAssembler {
    /// Adds the next chunk. Returns the message if the chunk is its last one.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no memory for the chunk. The message is dropped.
    pub fn add(&mut self, chunk: Chunk<'_>) -> Result<Option<Message<'static>>, TryReserveError> {
        let joined = match (self.0.take(), chunk.payload) {
            (Some(Message::Text(mut text)), Message::Text(more)) => {
                let joined = text.to_mut();
                joined.try_reserve(more.len())?;
                joined.push_str(&more);
                Message::Text(text)
            }
            (Some(Message::Binary(mut bytes)), Message::Binary(more)) => {
                let joined = bytes.to_mut();
                joined.try_reserve(more.len())?;
                joined.extend_from_slice(&more);
                Message::Binary(bytes)
            }
            (_, first) => first.into_owned(),
        };
        if chunk.last {
            return Ok(Some(joined));
        }
        self.0 = Some(joined);
        Ok(None)
    }

    /// Returns `true` if no message is in progress.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the size in bytes of the message in progress.
    pub(crate) fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, Message::len)
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
        write!(f, "MessageAssembler({} bytes)", self.memory())
    }
}
