use std::sync::MutexGuard;

use ws_core::{Chunk, Event, Message};
use ws_transport::{Driver, MessageAssembler, RecycledBuffer};

/// Copies data out of a read buffer.
pub(crate) struct Owner<'d>(MutexGuard<'d, Driver>);

impl<'d> Owner<'d> {
    pub(super) const fn new(driver: MutexGuard<'d, Driver>) -> Self {
        Self(driver)
    }

    /// Returns the message with an owned payload.
    #[inline]
    pub(crate) fn message(mut self, message: Message<'_>) -> Message<'static> {
        self.0.read_size.received(&message);
        if message.len() <= RecycledBuffer::MAX_LEN {
            return self.0.recycled.own(message);
        }
        // Release the driver first, so that senders do not wait for the copy.
        drop(self);
        message.into_owned()
    }

    /// Adds the chunk to a message that is assembled. Returns the message if the chunk is its last one.
    pub(crate) fn assemble(
        mut self,
        assembler: &mut MessageAssembler,
        chunk: Chunk<'_>,
    ) -> Option<Message<'static>> {
        if chunk.last && assembler.is_empty() {
            return Some(self.chunk(chunk).payload);
        }
        self.0.assemble(assembler, chunk)
    }

    /// Returns the chunk with an owned payload.
    pub(crate) fn chunk(self, chunk: Chunk<'_>) -> Chunk<'static> {
        drop(self);
        chunk.into_owned()
    }

    /// Returns the event with an owned payload.
    pub(crate) fn event(self, event: Event<'_>) -> Event<'static> {
        drop(self);
        event.into_owned()
    }
}
