//! Creates owned messages from the events of a connection.

use ws_core::{Chunk, Event, Message};
use ws_transport::{MessageAssembler, ReadSize, RecycledBuffer};

/// State that is required to create owned messages from events.
pub(crate) struct Assembling<'i> {
    pub(super) assembler: &'i mut Option<Box<MessageAssembler>>,
    pub(super) recycled: &'i mut RecycledBuffer,
    pub(super) read_size: &'i mut ReadSize,
}

impl Assembling<'_> {
    /// Returns the message that an event contains or completes. It is inlined into each loop that receives, because a loop
    /// with an observer must not slow down the ordinary one.
    #[inline(always)]
    pub(crate) fn message(&mut self, event: Event<'_>) -> Option<Message<'static>> {
        match event {
            Event::Message(message) => {
                self.read_size.received(&message);
                Some(self.recycled.own(message))
            }
            Event::Chunk(chunk) => self.add(chunk.into_owned()),
            _ => None,
        }
    }

    fn add(&mut self, chunk: Chunk<'static>) -> Option<Message<'static>> {
        if chunk.last && self.assembler.is_none() {
            return Some(chunk.payload);
        }
        let message = self.assembler.get_or_insert_default().add(chunk)?;
        *self.assembler = None;
        Some(message)
    }
}
