use core::{fmt, num::NonZeroU64, ops::Add, time::Duration};

/// A point in time: the time since an epoch that the caller chooses, in whole nanoseconds.
///
/// The core never reads a clock. A driver reads the clock once when it starts, and reports every later time as the
/// distance from that reading. A test or a simulation can use arbitrary times. Timestamps saturate after about 584
/// years.
///
/// ```
/// use core::time::Duration;
/// use ws_core::Timestamp;
///
/// let start = Timestamp::ZERO;
/// let later = start + Duration::from_secs(5);
/// assert_eq!(later.saturating_duration_since(start), Duration::from_secs(5));
/// assert_eq!(Timestamp::from(Duration::from_secs(5)), later);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// One more than the nanoseconds, so that an `Option` of it needs no additional space.
    NonZeroU64,
);

impl Timestamp {
    /// The epoch itself.
    pub const ZERO: Self = Self(NonZeroU64::MIN);

    /// Returns the time that has passed since `earlier`, or zero if `earlier` is later than this timestamp.
    #[must_use]
    #[inline]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl From<Duration> for Timestamp {
    #[inline]
    fn from(since_epoch: Duration) -> Self {
        Self::ZERO + since_epoch
    }
}

impl From<Timestamp> for Duration {
    #[inline]
    fn from(timestamp: Timestamp) -> Self {
        timestamp.saturating_duration_since(Timestamp::ZERO)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    #[inline]
    fn add(self, duration: Duration) -> Self {
        let nanos = duration
            .as_secs()
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(duration.subsec_nanos()));
        Self(self.0.saturating_add(nanos))
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from(*self))
    }
}
