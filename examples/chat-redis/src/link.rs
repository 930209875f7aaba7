use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use redis::{AsyncConnectionConfig, Client, RedisResult, aio::MultiplexedConnection};
use smol::Timer;

/// Maximum time for Redis to connect and to answer.
pub(crate) const REDIS_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects to Redis. The response timeout allows for commands that block for at most `blocks`.
pub(crate) async fn connect(client: &Client, blocks: Duration) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(REDIS_TIMEOUT))
        .set_response_timeout(Some(REDIS_TIMEOUT + blocks));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// The delay before the next attempt after a failure. It doubles each time and contains a random part, so that the
/// nodes do not reconnect all at once.
#[derive(Debug, Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);

    pub(crate) async fn wait(&mut self) {
        let longest = Self::FIRST.saturating_mul(1 << self.0.min(10)).min(Self::LONGEST);
        self.0 += 1;
        Timer::after(longest / 2 + longest.mul_f64(random() as f64 / u64::MAX as f64) / 2).await;
    }

    /// Resets the delay after an answer from Redis. Returns `true` if the attempt before had failed.
    pub(crate) fn reset(&mut self) -> bool {
        std::mem::take(&mut self.0) > 0
    }
}

/// Returns a number that no other node has: the standard library seeds its hashers from the operating system.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
