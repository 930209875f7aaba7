//! Creates owned messages from the events of a connection.

use ws_core::{Chunk, Event, Message};
use ws_transport::{Driver, MessageAssembler};

/// State that is required to create owned messages from events.
pub(crate) struct Assembling<'i> {
    pub(super) assembler: &'i mut Option<Box<MessageAssembler>>,
    pub(super) driver: &'i mut Driver,
}

impl Assembling<'_> {
    /// Returns the message that an event contains or completes. It is inlined into each loop that receives, because a loop
    /// with an observer must not slow down the ordinary one.
    #[inline(always)]
    pub(crate) fn message(&mut self, event: Event<'_>) -> Option<Message<'static>> {
        match event {
            Event::Message(message) => {
                self.driver.read_size.received(&message);
                Some(self.driver.recycled.own(message))
            }
            Event::Chunk(chunk) => self.add(chunk),
            _ => None,
        }
    }

    fn add(&mut self, chunk: Chunk<'_>) -> Option<Message<'static>> {
        if chunk.last && self.assembler.is_none() {
            return Some(chunk.payload.into_owned());
        }
        let assembler = self.assembler.get_or_insert_default();
        let message = self.driver.assemble(assembler, chunk);
        self.assembler.take_if(|assembler| assembler.is_empty());
        message
    }
}
