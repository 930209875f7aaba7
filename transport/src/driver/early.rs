//! Input that is received for a thread or task that sends, while none receives.

use std::{collections::VecDeque, time::Duration};

use ws_core::{Event, Timestamp};

use super::Driver;

/// Events that wait until the application receives them.
#[derive(Debug, Default)]
pub(super) struct Early {
    events: VecDeque<Event<'static>>,
    /// Bytes of payload in them.
    bytes: usize,
}

impl Early {
    /// The most events that wait.
    const MAX_EVENTS: usize = 64;
    /// The most bytes that wait, one message more or less.
    const MAX_BYTES: usize = 64 << 10;

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Event<'static>> {
        let event = self.events.pop_front()?;
        self.bytes -= len(&event);
        Some(event)
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

/// Looks at the input before something is sent. Without them an application that only sends would not learn that the peer
/// has closed the connection or is lost.
impl Driver {
    /// Time from a turn or look to the next look.
    const LOOK_INTERVAL: Duration = Duration::from_millis(10);

    /// Returns `true` if a sender should look at the input. It need not if something was received since the last send, or
    /// if the connection was looked at within 10 ms. It cannot if 64 events or 64 KiB wait to be received already.
    pub fn is_look_due(&mut self, now: impl FnOnce() -> Timestamp) -> bool {
        if std::mem::take(&mut self.received_since_send) {
            return false;
        }
        self.can_look() && self.told + Self::LOOK_INTERVAL <= now()
    }

    /// Returns `true` if there may be input to look at, and room for its events.
    #[must_use]
    pub fn can_look(&self) -> bool {
        self.wants_read() && !self.is_early_full()
    }

    /// Receives from `input`, and keeps the events until the application receives.
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

    /// Ends a look, after everything that it has read was received. An end of the input takes effect for senders at once.
    /// The application receives it, and the error if there is one, behind the events that wait.
    pub fn end_look(&mut self, now: Timestamp) {
        if self.is_early_full() {
            // Input may be left. Silence proves nothing then.
            return;
        }
        if self.input_end.is_some() {
            self.connection.receive_eof();
        }
        self.told = now;
        self.connection.handle_timeout(now);
    }

    /// Drops events that are received early from now on, because the application receives no more.
    pub fn discard_early(&mut self) {
        self.early = None;
        self.discards_early = true;
    }

    /// Returns `true` if events wait until the application receives.
    #[must_use]
    pub fn has_early(&self) -> bool {
        self.early.as_ref().is_some_and(|early| !early.is_empty())
    }

    fn is_early_full(&self) -> bool {
        self.early.as_ref().is_some_and(|early| early.is_full())
    }
}
