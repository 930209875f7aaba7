//! Counters of one connection.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ws_core::Event;

use crate::SendOutcome;

/// Counters of a connection. Any thread can read them. Its [`Driver`](crate::Driver) counts, so that a message counts
/// in the same way on all paths of an adapter.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Number of messages received.
    pub messages_received: Counter,
    /// Number of bytes of their payloads, inflated.
    pub bytes_received: Counter,
    /// Number of messages that were accepted to be sent. It includes those that were dropped later.
    pub messages_sent: Counter,
    /// Number of bytes of their payloads, before compression.
    pub bytes_sent: Counter,
    /// Number of pings of the peer.
    pub pings_received: Counter,
    /// Number of messages that were dropped because the peer read too slowly.
    pub dropped: Counter,
    /// Number of times that the peer fell so far behind that messages were dropped.
    pub lagged: Counter,
}

/// A number that only grows. Only the owner of the connection writes it, so that counting needs no atomic addition.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Returns the number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Adds to the number. The caller has exclusive access to the driver.
    #[inline]
    fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }
}

impl Traffic {
    /// Counts an event.
    #[inline]
    pub(crate) fn received(&self, event: &Event<'_>) {
        match event {
            Event::Message(message) => {
                self.messages_received.add(1);
                self.bytes_received.add(message.len() as u64);
            }
            Event::Chunk(chunk) => {
                self.messages_received.add(u64::from(chunk.last));
                self.bytes_received.add(chunk.payload.len() as u64);
            }
            Event::Ping(_) => self.pings_received.add(1),
            _ => {}
        }
    }

    /// Counts a message that was accepted to be sent.
    #[inline]
    pub(crate) fn sent(&self, len: usize) {
        self.messages_sent.add(1);
        self.bytes_sent.add(len as u64);
    }

    /// Counts a chunk that was accepted to be sent.
    pub(crate) fn sent_chunk(&self, len: usize, last: bool) {
        self.messages_sent.add(u64::from(last));
        self.bytes_sent.add(len as u64);
    }

    /// Counts messages that were dropped.
    pub(crate) fn dropped(&self, outcome: SendOutcome) {
        self.dropped.add(outcome.dropped as u64);
        self.lagged.add(u64::from(outcome.lagging));
    }
}
