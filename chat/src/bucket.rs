use std::time::{Duration, Instant};

/// Lets so many things pass at once, and then one in each period.
#[derive(Debug)]
pub(crate) struct Bucket {
    most: u32,
    period: Duration,
    /// When it is full again.
    full_at: Instant,
}

impl Bucket {
    pub(crate) fn new(most: u32, period: Duration, now: Instant) -> Self {
        Self { most, period, full_at: now }
    }

    /// Whether one more may pass.
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
        assert_eq!(passes(&mut bucket, 99), 3, "no more than the burst, however long it was quiet");
    }
}
