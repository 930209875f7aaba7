//! A timer that is rarely set.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_io::Timer;
use futures_lite::Future as _;
use ws_core::Timestamp;
use ws_transport::Clock;

/// A timer that is created on first use. It is set again only if it has fired, or if it has to fire earlier. Setting
/// a timer costs more than handling one that fires too early.
#[derive(Debug, Default)]
pub(crate) struct LazyTimer {
    timer: Option<Timer>,
    /// Time for which the timer is set.
    set: Option<Timestamp>,
}

impl LazyTimer {
    /// Waits until `due`. Waits forever if `due` is `None`.
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

    /// Returns `true` if the timer is certain to stay pending until `due`, for a task that it already wakes.
    pub(crate) fn is_set(&self, due: Option<Timestamp>, now: Timestamp) -> bool {
        self.set.is_some_and(|set| now < set && due.is_none_or(|due| set <= due))
    }
}
