//! Input that is kept while receiving is paused or deferred, and the end of the stream behind it.

use alloc::vec::Vec;
use core::mem;

use super::{partial::reserve, receive::Incoming};
use crate::{Config, Event, ProtocolError, extension::Quota};

/// Input that has to wait until replies are written, or until the next call.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    /// Number of bytes that were already received from it.
    read: usize,
    /// `true` if the stream has ended behind these bytes.
    pub(super) ended: bool,
}

impl Held {
    /// Returns `true` if no bytes are left.
    pub(super) fn is_drained(&self) -> bool {
        self.read >= self.bytes.len()
    }

    /// Returns `true` if no input waits, not even the end of the stream.
    pub(super) fn is_empty(&self) -> bool {
        self.is_drained() && !self.ended
    }

    /// Appends input, if there is memory for it.
    pub(super) fn append(&mut self, input: &[u8]) -> Result<(), ProtocolError> {
        self.bytes.drain(..self.read.min(self.bytes.len()));
        self.read = 0;
        reserve(&mut self.bytes, input.len(), input.len())?;
        self.bytes.extend_from_slice(input);
        Ok(())
    }

    pub(super) const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Passes the bytes to `receive`, and keeps the bytes that it leaves.
    pub(super) fn consume<T>(&mut self, receive: impl FnOnce(&mut &mut [u8]) -> T) -> T {
        let mut input = self.bytes.get_mut(self.read..).unwrap_or_default();
        let result = receive(&mut input);
        let left = input.len();
        self.read = self.bytes.len().saturating_sub(left);
        result
    }
}

impl Incoming {
    /// Returns `true` if the connection keeps input that could not be received when it arrived.
    #[inline]
    pub(super) fn is_holding(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| !partial.held.is_empty())
    }

    /// Makes the next call of `receive` leave the fast path and notice that receiving is paused.
    #[cold]
    pub(super) fn leave_fast_path(&mut self) {
        self.partial.get_or_insert_default();
        self.was_paused = true;
    }

    /// Keeps input while receiving is paused or deferred.
    pub(super) fn hold(&mut self, input: &mut &mut [u8]) -> Result<(), ProtocolError> {
        if !input.is_empty() {
            self.received = true;
            self.partial.get_or_insert_default().held.append(input)?;
            *input = &mut [];
        }
        Ok(())
    }

    /// Works as [`next`](Self::next), with the input that is kept.
    pub(super) fn next_held(
        &mut self,
        config: &Config,
        quota: &mut Quota,
    ) -> Result<Option<Event<'static>>, ProtocolError> {
        let mut held = self.partial.as_mut().map(|partial| mem::take(&mut partial.held)).unwrap_or_default();
        let event =
            held.consume(|input| self.next(input, config, quota).map(|event| event.map(Event::into_owned)));
        if !held.is_empty() {
            self.partial.get_or_insert_default().held = held;
        }
        event
    }

    /// Keeps the end of the stream behind the input that is kept.
    pub(super) fn hold_end(&mut self) {
        self.partial.get_or_insert_default().held.ended = true;
    }

    /// Returns `true` if the stream has ended behind the input that is kept.
    #[inline]
    pub(super) fn has_held_end(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.held.ended)
    }

    /// Returns `true` if nothing is kept except the end of the stream.
    pub(super) fn is_at_held_end(&self) -> bool {
        let is_drained = self.partial.as_ref().is_some_and(|partial| partial.held.is_drained());
        self.has_held_end() && is_drained && !self.has_event_without_input()
    }

    /// Returns `true` if no further input is wanted, because the stream has ended, a message is inflated, or other input
    /// waits. A driver that read more before it has received that input would let it grow.
    #[inline]
    pub(super) fn has_enough(&self) -> bool {
        self.partial.is_some() && (self.is_holding() || self.is_deferred())
    }

    /// Returns `true` if there may be an event without new input.
    #[inline]
    pub(super) fn has_kept_event(&self) -> bool {
        self.partial.is_some() && (self.is_holding() || self.has_event_without_input())
    }

    /// Returns `true` if there may be an event of the message in progress without any input.
    #[inline]
    pub(super) fn has_event_without_input(&self) -> bool {
        self.is_frame_complete() || self.is_deferred()
    }
}
