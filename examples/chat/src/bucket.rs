use std::time::{Duration, Instant};

/// A rate limit (token bucket): permits a burst of `most` messages, and then one per period.
#[derive(Debug)]
pub(crate) struct Bucket {
    most: u32,
    period: Duration,
    /// The time at which the bucket is full again.
    full_at: Instant,
}

impl Bucket {
    pub(crate) fn new(most: u32, period: Duration, now: Instant) -> Self {
        Self { most, period, full_at: now }
    }

    /// Takes one token. Returns `false` if the bucket is empty.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.period;
        let passes = full_at <= now + self.period * self.most;
        if passes {
            self.full_at = full_at;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_in_each_period() {
        let (begin, period) = (Instant::now(), Duration::from_millis(100));
        let mut bucket = Bucket::new(3, period, begin);
        let passes = |bucket: &mut Bucket, at| (0..9).filter(|_| bucket.take(begin + period * at)).count();
        assert_eq!(passes(&mut bucket, 0), 3);
        assert_eq!(passes(&mut bucket, 1), 1);
        assert_eq!(passes(&mut bucket, 1), 0);
        assert_eq!(passes(&mut bucket, 3), 2);
        assert_eq!(passes(&mut bucket, 99), 3, "a long pause permits no more than the burst");
    }
}
