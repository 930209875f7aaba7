use std::time::{Duration, Instant};

use ws_core::Timestamp;

/// Clock of one connection, because the core does not read a clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Creates a clock with the current time as its epoch.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(self) -> Timestamp {
        Timestamp::from(self.0.elapsed())
    }

    /// Returns the duration from now until `then`.
    #[must_use]
    pub fn until(self, then: Timestamp) -> Duration {
        then.saturating_duration_since(self.now())
    }

    /// Returns the instant of this timestamp, if it can be represented.
    #[must_use]
    pub fn instant(self, timestamp: Timestamp) -> Option<Instant> {
        self.0.checked_add(Duration::from(timestamp))
    }
}
