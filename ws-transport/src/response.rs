//! Deadlines of responses that do not open a WebSocket.

use std::time::Duration;

/// Minimum rate of sending a response, in bytes per second. The connection to a slower client is dropped.
const MIN_RATE: usize = 16 << 10;

/// Returns the maximum duration of a response of this size, from its first byte to the end of the client's stream. It
/// is the close timeout plus the time that the response takes at 16 KiB per second. So a client that does not read
/// holds a connection no longer than one that reads slowly, regardless of the size of the page.
#[must_use]
pub fn response_timeout(bytes: usize, close_timeout: Duration) -> Duration {
    let seconds = (bytes / MIN_RATE) as u64;
    let nanos = (bytes % MIN_RATE) as u64 * 1_000_000_000 / MIN_RATE as u64;
    close_timeout.saturating_add(Duration::from_secs(seconds)).saturating_add(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_may_take_the_close_timeout_and_its_size_at_the_lowest_rate() {
        let timeout = |bytes| response_timeout(bytes, Duration::from_secs(5));
        assert_eq!(timeout(0), Duration::from_secs(5));
        assert_eq!(timeout(8 << 10), Duration::from_millis(5500));
        assert_eq!(timeout(8 << 20), Duration::from_secs(5 + 512));
        assert_eq!(response_timeout(usize::MAX, Duration::MAX), Duration::MAX);
    }
}
