//! Receiving in the place of a handler that has dropped its connection and continues to run.

use std::{sync::Arc, time::Duration};

use rustix::event::PollFlags;
use ws_core::{CloseCode, Connection, State, TimeoutKind};
use ws_transport::{Error, work};

use super::{Duplex, Goal, Turned, Wait};

/// The events and the deadline that a connection waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    pub(crate) events: PollFlags,
    pub(crate) due: Option<Duration>,
}

impl Duplex {
    /// Drives a connection from which no thread receives, without waiting. Drops received messages, answers pings,
    /// writes, and closes the connection if the application has no handle left.
    ///
    /// Returns the next wait. Returns `None` if the connection has ended, or if the thread of the handler continues
    /// with it.
    pub(crate) fn drive_unattended(self: &Arc<Self>) -> Option<Wants> {
        /// Maximum number of reads before other connections have their turn.
        const MAX_READS: usize = 8;
        if self.handler.has_returned() {
            return None;
        }
        if self.handler.is_abandoned() && self.with_connection(Connection::state) == State::Open {
            // It cannot fail: this code and reason can be sent.
            let _ = self.close_without_waiting(CloseCode::NORMAL_CLOSURE, "");
        }
        let mut reading = self.try_receive()?;
        for _ in 0..MAX_READS {
            work::begin_turn(None);
            if self.discard_received(&mut reading) {
                reading.receive_again();
                continue;
            }
            match self.turn(&mut reading, Goal::Drain, &mut Wait::new(Some(Duration::ZERO))) {
                Ok(Turned::Ended(_)) => {
                    drop(reading);
                    self.abandon();
                    return None;
                }
                Err(Error::Timeout(TimeoutKind::Read)) => return Some(self.wants()),
                // The next turn detects the end.
                Ok(Turned::Received) | Err(_) => {}
            }
        }
        Some(Wants { due: Some(Duration::ZERO), ..self.wants() })
    }

    fn wants(&self) -> Wants {
        let driver = self.driver();
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, driver.wants_read());
        events.set(PollFlags::OUT, !driver.is_written());
        let due = driver.connection.poll_timeout();
        Wants { events, due: due.map(|due| self.clock.until(due)) }
    }
}
