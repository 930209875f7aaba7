//! Progress and memory of the frame or message in progress.

use core::mem;

use super::receive::Incoming;
use crate::Timestamp;

impl Incoming {
    /// Records the time at which the frame or message in progress has grown, or at which this end does not read.
    pub(super) fn note_progress(&mut self, now: Timestamp, listens: bool) {
        if let Some(partial) = &mut self.partial
            && (mem::take(&mut partial.has_grown) || !listens)
        {
            partial.received_at = Some(now);
        }
    }

    /// Returns the time of the last such record. `None` if the frame or message in progress has grown since the time was
    /// last reported.
    pub(super) fn received_at(&self) -> Option<Timestamp> {
        self.partial.as_ref().filter(|partial| !partial.has_grown)?.received_at
    }

    /// Returns the size in bytes of the memory for input that was not returned yet.
    #[inline]
    pub(super) fn memory(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            let is_compressed = partial.message.as_ref().is_some_and(|message| message.compressed);
            let inflater = self.inflater.as_ref().filter(|_| is_compressed);
            partial.memory().saturating_add(inflater.map_or(0, |inflater| inflater.memory_of_message()))
        })
    }
}
