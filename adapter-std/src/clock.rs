use std::time::{Duration, Instant};

use ws_core::Timestamp;

/// The time of one connection, for a core that has no clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Timestamp {
        Timestamp::from(self.0.elapsed())
    }

    /// How long it is until then.
    pub(crate) fn until(self, then: Timestamp) -> Duration {
        then.saturating_duration_since(self.now())
    }
}
