//! A timer that costs little.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_io::Timer;
use futures_lite::Future as _;
use ws_core::Timestamp;
use ws_transport::Clock;

/// A timer that is made when first needed and set again only when it has to fire earlier or has fired; for
/// to set one costs more than to look at one that fired too early.
#[derive(Debug, Default)]
pub(crate) struct LazyTimer {
    timer: Option<Timer>,
    /// When it fires.
    set: Option<Timestamp>,
}

impl LazyTimer {
    /// Waits until it is `due`; without end if it never is.
    pub(crate) fn poll(&mut self, due: Option<Timestamp>, clock: Clock, cx: &mut Context<'_>) -> Poll<()> {
        let Some((due, at)) = due.and_then(|due| Some((due, clock.instant(due)?))) else {
            return Poll::Pending;
        };
        loop {
            let timer = self.timer.get_or_insert_with(Timer::never);
            if self.set.is_none_or(|set| due < set) {
                timer.set_at(at);
                self.set = Some(due);
            }
            ready!(Pin::new(timer).poll(cx));
            self.set = None;
            if due <= clock.now() {
                return Poll::Ready(());
            }
        }
    }

    /// Whether it is certain to be pending until `due`, for a task that it knows.
    pub(crate) fn is_set(&self, due: Option<Timestamp>, now: Timestamp) -> bool {
        self.set.is_some_and(|set| now < set && due.is_none_or(|due| set <= due))
    }
}
