//! Looks at the input by threads that do not receive: senders, and the thread that drains the connection.

use std::{sync::MutexGuard, time::Duration};

use ws_core::State;
use ws_transport::work::{self, DeferredWrites, Work};

use super::{Duplex, Goal, Turned, Wait, lock};
use crate::read_buffer::ReadBuffer;

impl Duplex {
    /// Waits until the peer closes its side, so that no reset overtakes the last written bytes. Then ends the
    /// connection for good.
    pub(crate) fn drain(&self) {
        // If another thread receives, that thread waits for the end.
        if let Some(mut reading) = self.try_receive() {
            let mut writes = DeferredWrites::default();
            loop {
                work::begin_turn(None);
                if self.discard_received(&mut reading) {
                    reading.receive_again();
                    self.keep_output_going(&mut writes);
                    continue;
                }
                match self.turn(&mut reading, Goal::Drain, &mut Wait::default()) {
                    Ok(Turned::Ended(_)) => break,
                    // The next turn detects the end.
                    Ok(Turned::Received) | Err(_) => {}
                }
            }
        }
        self.abandon();
    }

    /// Locks the read buffer, or returns `None` if another thread receives. A sender that looks at the input also holds the
    /// buffer, for a moment and without waiting. That does not count.
    pub(super) fn try_receive(&self) -> Option<MutexGuard<'_, ReadBuffer>> {
        let _no_look = lock(&self.look_lock);
        self.reading.try_lock().ok()
    }

    /// Receives the bytes that were already read, and drops their events, until the turn is over. Returns `true` if the
    /// connection may contain input that was not received.
    pub(super) fn discard_received(&self, reading: &mut ReadBuffer) -> bool {
        reading.consume(|input| {
            while !work::is_turn_over() {
                let Ok(Some(event)) = self.driver().receive(input) else { return false };
                work::spend(Work::of(&event));
            }
            true
        })
    }

    /// Looks at the input for a thread that sends, if no thread receives and the last look is not recent.
    pub(crate) fn look(&self) {
        if self.driver().is_look_due(|| self.clock.now()) {
            self.look_now();
        }
    }

    /// Looks at the input for a thread that sends, if no thread receives.
    pub(crate) fn look_now(&self) {
        /// Maximum number of reads in one look. A peer that sends constantly cannot hold up the sender.
        const MAX_READS: usize = 16;
        let Ok(_looking) = self.look_lock.try_lock() else { return };
        let Ok(mut reading) = self.reading.try_lock() else { return };
        let receive = |reading: &mut ReadBuffer| {
            reading.consume(|input| {
                let mut driver = self.driver();
                driver.receive_early(input);
                driver.can_look()
            })
        };
        let mut reads = 0;
        while receive(&mut reading) && reads < MAX_READS && self.read(&mut reading, Some(Duration::ZERO)) {
            reads += 1;
        }
        reading.receive_again();
        let mut driver = self.driver();
        driver.end_look(self.clock.now());
        let is_open = driver.connection.state() == State::Open;
        drop(driver);
        if !is_open {
            self.end_writing();
        }
    }
}
