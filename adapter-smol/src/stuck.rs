//! How long those who send wait for a peer that does not read.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Buf as _;
use ws_core::Timestamp;
use ws_transport::{Clock, Deadline, Error};

use crate::{
    alarm::Alarm,
    duplex::{Duplex, Inner},
};

/// A stream that takes nothing, seen by somebody who waits for it.
#[derive(Debug)]
pub(crate) struct Stuck {
    since: Timestamp,
    alarm: Alarm,
}

/// How long a write may wait for the peer to read anything at all, unless somebody says so.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

impl Duplex {
    /// As [`poll_flush`](Self::poll_flush), for one who waits for it: not longer than the write timeout while
    /// nothing is taken, and not longer than the closing handshake.
    pub(crate) fn poll_flush_patiently(
        self: &Arc<Self>,
        inner: &mut Inner,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        if let Poll::Ready(flushed) = self.poll_flush(inner, cx) {
            return Poll::Ready(flushed);
        }
        // The timer knows one waker for all who wait: this.
        let waker = Waker::from(self.writers().clone());
        let Poll::Ready(given_up) = inner.poll_given_up(self.clock(), &mut Context::from_waker(&waker))
        else {
            return Poll::Pending;
        };
        inner.discard_output();
        self.wake_all(inner);
        Poll::Ready(given_up)
    }
}

impl Inner {
    /// Ready when there is no point in waiting any longer.
    fn poll_given_up(&mut self, clock: Clock, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            let now = clock.now();
            let connection = &mut self.wire.connection;
            let mut due = None;
            if connection.closure().is_some() {
                connection.handle_timeout(now);
                if connection.is_finished() {
                    return Poll::Ready(Ok(()));
                }
                due = connection.poll_timeout();
            }
            let stuck =
                self.stuck.get_or_insert_with(|| Box::new(Stuck { since: now, alarm: Alarm::default() }));
            if let Some(timeout) = self.write_timeout {
                let given_up = stuck.since + timeout;
                if given_up <= now {
                    connection.receive_eof();
                    return Poll::Ready(Err(Error::Timeout(Deadline::Write)));
                }
                due = Some(due.map_or(given_up, |due| due.min(given_up)));
            }
            ready!(stuck.alarm.poll(due, clock, cx));
        }
    }

    /// Nobody is there to read it.
    pub(crate) fn discard_output(&mut self) {
        self.output.advance(usize::MAX);
        self.wire.drop_output();
        self.flushed = true;
        self.blocked = false;
        self.stuck = None;
    }
}
