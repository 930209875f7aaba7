use std::time::{Duration, Instant};

use ws_core::Timestamp;

/// The time of one connection, for a core that has no clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock whose epoch is now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time now.
    #[must_use]
    pub fn now(self) -> Timestamp {
        Timestamp::from(self.0.elapsed())
    }

    /// How long it is until then.
    #[must_use]
    pub fn until(self, then: Timestamp) -> Duration {
        then.saturating_duration_since(self.now())
    }

    /// The moment that this timestamp stands for, if there is one.
    #[must_use]
    pub fn instant(self, timestamp: Timestamp) -> Option<Instant> {
        self.0.checked_add(Duration::from(timestamp))
    }
}
