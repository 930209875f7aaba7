//! Early input: input that a sending thread or task receives, because no other one receives.

use std::{collections::VecDeque, time::Duration};

use ws_core::{Event, Timestamp};

use super::Driver;

/// Events that wait for the application to receive them.
#[derive(Debug, Default)]
pub(super) struct Early {
    events: VecDeque<Event<'static>>,
    /// OutgoingPayload bytes in these events.
    bytes: usize,
}

impl Early {
    /// Maximum number of waiting events.
    const MAX_EVENTS: usize = 64;
    /// Maximum number of waiting payload bytes. One message may exceed it.
    const MAX_BYTES: usize = 64 << 10;

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Event<'static>> {
        let event = self.events.pop_front()?;
        self.bytes -= len(&event);
        Some(event)
    }

    /// Returns the number of payload bytes that wait.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, event: Event<'_>) {
        self.bytes += len(&event);
        self.events.push_back(event.into_owned());
    }

    fn is_full(&self) -> bool {
        self.events.len() >= Self::MAX_EVENTS || self.bytes >= Self::MAX_BYTES
    }
}

fn len(event: &Event<'_>) -> usize {
    match event {
        Event::Message(message) => message.len(),
        Event::Chunk(chunk) => chunk.payload.len(),
        _ => 0,
    }
}

/// Checks of the input before a send. Without them, an application that only sends would not detect that the peer has
/// closed the connection or is lost.
impl Driver {
    /// Minimum time between a turn or look and the next look.
    const LOOK_INTERVAL: Duration = Duration::from_millis(10);

    /// Returns `true` if a sender should look at the input. A look is not necessary if input was received since the
    /// last send, or within 10 ms after the last look. It is not possible if 64 events or 64 KiB already wait to be
    /// received.
    pub fn is_look_due(&mut self, now: impl FnOnce() -> Timestamp) -> bool {
        if std::mem::take(&mut self.received_since_send) {
            return false;
        }
        self.can_look() && self.updated_at + Self::LOOK_INTERVAL <= now()
    }

    /// Returns `true` if input may be available and there is room for its events.
    #[must_use]
    pub fn can_look(&self) -> bool {
        self.wants_read() && !self.is_early_full()
    }

    /// Receives from `input`, and keeps the events until the application receives them.
    pub fn receive_early(&mut self, input: &mut &mut [u8]) {
        while !self.is_early_full()
            && let Ok(Some(event)) = self.connection.receive(input)
        {
            self.traffic.received(&event);
            if !self.discards_early {
                self.early.get_or_insert_default().push(event);
            }
        }
    }

    /// Ends a look, after all input that it has read was received. An end of the input takes effect for senders at
    /// once. The application receives the end, and its error if any, after the waiting events.
    pub fn end_look(&mut self, now: Timestamp) {
        self.settle();
        if self.is_early_full() {
            // Some input may be unread, so the peer's silence proves nothing.
            return;
        }
        if self.input_end.is_some() {
            self.connection.receive_eof();
        }
        self.updated_at = now;
        self.connection.handle_timeout(now);
    }

    /// Drops all early events from now on, because the application no longer receives.
    pub fn discard_early(&mut self) {
        self.early = None;
        self.discards_early = true;
    }

    /// Returns `true` if events wait for the application.
    #[must_use]
    pub fn has_early(&self) -> bool {
        self.early.as_ref().is_some_and(|early| !early.is_empty())
    }

    fn is_early_full(&self) -> bool {
        self.early.as_ref().is_some_and(|early| early.is_full())
    }
}
