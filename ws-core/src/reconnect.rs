use alloc::vec::Vec;
use core::{ops::RangeInclusive, time::Duration};

use crate::{CloseCode, Response, Timestamp, entropy::Entropy};

/// Delays and limits of a client that connects again after a failure, for [`ReconnectSchedule`].
///
/// ```
/// use core::time::Duration;
/// use ws_core::ReconnectPolicy;
///
/// let mut policy = ReconnectPolicy::default();
/// policy.first_delay = Duration::from_millis(200);
/// policy.max_attempts = Some(10);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReconnectPolicy {
    /// Longest delay before the first attempt after a connection. It doubles with each further attempt. The delay itself is
    /// random between zero and this bound ("full jitter"), so that the clients of a server that has restarted spread
    /// over the whole time. Default: 1 second.
    pub first_delay: Duration,
    /// Limit of the doubled delay. Default: 30 seconds.
    pub max_delay: Duration,
    /// Maximum number of attempts to connect again since the last stable connection. `None`: no limit. Default: `None`.
    pub max_attempts: Option<u32>,
    /// Maximum time from the first failure since the last stable connection to the beginning of an attempt. `None`: no
    /// limit. Default: `None`.
    pub max_duration: Option<Duration>,
    /// Duration after which a connection counts as stable. The delays and limits then start from the beginning at its end. A
    /// server that accepts connections and ends them at once is therefore treated as one that refuses them. Default: 5 seconds.
    pub stable_after: Duration,
    /// Longest `Retry-After` of a server that is obeyed. A longer one counts as this. Default: 1 hour.
    pub max_retry_after: Duration,
    /// Range of the random delay after the close code 1012 (service restart). The registration of the code demands 5 to 30
    /// seconds. Default: 5 to 30 seconds.
    pub restart_delay: RangeInclusive<Duration>,
    /// Range of the random delay after the close code 1013 (try again later). Default: 30 to 60 seconds.
    pub overload_delay: RangeInclusive<Duration>,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        const fn seconds(seconds: u64) -> Duration {
            Duration::from_secs(seconds)
        }
        Self {
            first_delay: seconds(1),
            max_delay: seconds(30),
            max_attempts: None,
            max_duration: None,
            stable_after: seconds(5),
            max_retry_after: seconds(3600),
            restart_delay: seconds(5)..=seconds(30),
            overload_delay: seconds(30)..=seconds(60),
        }
    }
}

/// The request of a server about the time at which its client may connect again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReconnectHint {
    /// There is no request.
    #[default]
    None,
    /// The server refused the client with `Retry-After` (RFC 9110 section 10.2.3): not before this delay has passed.
    RetryAfter(Duration),
    /// The server closed the connection with 1012, because it restarts.
    ServiceRestart,
    /// The server closed the connection with 1013, because it is overloaded.
    TryAgainLater,
}

impl ReconnectHint {
    /// Returns the hint of a response that refused the client. `since_epoch` is the present time since the beginning of 1970,
    /// for a server that names a date.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ws_core::{ReconnectHint, Response};
    ///
    /// let response = Response::new(503).header("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT");
    /// let now = Duration::from_secs(784_111_757);
    /// let hint = ReconnectHint::of_response(&response, now);
    /// assert_eq!(hint, ReconnectHint::RetryAfter(Duration::from_secs(20)));
    /// ```
    #[must_use]
    pub fn of_response(response: &Response, since_epoch: Duration) -> Self {
        let Some(value) = response.header_value("Retry-After") else { return Self::None };
        let value = value.trim_matches([' ', '\t']);
        let delay = match number(value) {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => http_date(value).map(|date| date.saturating_sub(since_epoch)),
        };
        delay.map_or(Self::None, Self::RetryAfter)
    }

    /// Returns the hint of the code of the server's Close.
    #[must_use]
    pub const fn of_close(code: CloseCode) -> Self {
        match code {
            CloseCode::SERVICE_RESTART => Self::ServiceRestart,
            CloseCode::TRY_AGAIN_LATER => Self::TryAgainLater,
            _ => Self::None,
        }
    }
}

/// The times at which a client connects again: exponential backoff with full jitter, limits, and the requests of the server.
/// It does no I/O and reads no clock.
///
/// Connect. After each success, call [`connected`](Self::connected). When the attempt has failed, or the connection has
/// ended, and the reason may be [transient](crate::HandshakeError::is_transient), wait until the time that
/// [`retry_at`](Self::retry_at) returns, and connect again.
///
/// ```
/// use core::time::Duration;
/// use ws_core::{ReconnectHint, ReconnectPolicy, ReconnectSchedule, Timestamp};
///
/// let mut policy = ReconnectPolicy::default();
/// policy.max_attempts = Some(2);
/// let mut schedule = ReconnectSchedule::new(policy, [7; 32]); // a random seed from the operating system
/// let lost = Timestamp::ZERO;
/// let first = schedule.retry_at(ReconnectHint::None, lost).unwrap();
/// assert!(first <= lost + Duration::from_secs(1));
/// let second = schedule.retry_at(ReconnectHint::RetryAfter(Duration::from_secs(60)), first).unwrap();
/// assert!(second >= first + Duration::from_secs(60));
/// assert_eq!(schedule.retry_at(ReconnectHint::None, second), None); // no more attempts
/// ```
#[derive(Debug)]
pub struct ReconnectSchedule {
    policy: ReconnectPolicy,
    random: Entropy,
    /// Number of attempts since the last stable connection.
    attempts: u32,
    /// Time of the first failure since the last stable connection.
    failing_since: Option<Timestamp>,
    connected_at: Option<Timestamp>,
}

impl ReconnectSchedule {
    /// Creates a schedule. The seed is for the random delays. If the clients of a server share a seed, they come back at the
    /// same time.
    #[must_use]
    pub fn new(policy: ReconnectPolicy, seed: [u8; 32]) -> Self {
        Self { policy, random: Entropy::new(seed), attempts: 0, failing_since: None, connected_at: None }
    }

    /// Reports that the client has connected.
    pub const fn connected(&mut self, now: Timestamp) {
        self.connected_at = Some(now);
    }

    /// Reports that an attempt has failed or that the connection has ended. Returns the time of the next attempt, or `None` if
    /// the policy permits no more.
    pub fn retry_at(&mut self, hint: ReconnectHint, now: Timestamp) -> Option<Timestamp> {
        let connected_at = self.connected_at.take();
        if connected_at.is_some_and(|at| now.saturating_duration_since(at) >= self.policy.stable_after) {
            (self.attempts, self.failing_since) = (0, None);
        }
        if self.policy.max_attempts.is_some_and(|max| self.attempts >= max) {
            return None;
        }
        let at = now + self.delay(hint);
        let since = *self.failing_since.get_or_insert(now);
        self.attempts = self.attempts.saturating_add(1);
        let duration = at.saturating_duration_since(since);
        (self.policy.max_duration.is_none_or(|max| duration <= max)).then_some(at)
    }

    fn delay(&mut self, hint: ReconnectHint) -> Duration {
        let policy = &self.policy;
        let factor = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        let window = policy.first_delay.saturating_mul(factor).min(policy.max_delay);
        let (from, to) = match hint {
            ReconnectHint::None => (Duration::ZERO, window),
            ReconnectHint::RetryAfter(delay) => {
                let delay = delay.min(policy.max_retry_after);
                (delay, delay.saturating_add(window))
            }
            ReconnectHint::ServiceRestart => (*policy.restart_delay.start(), *policy.restart_delay.end()),
            ReconnectHint::TryAgainLater => (*policy.overload_delay.start(), *policy.overload_delay.end()),
        };
        from.saturating_add(self.random.up_to(to.saturating_sub(from)))
    }
}

/// Parses digits. A number that is too large is the largest one.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Parses a date of HTTP (RFC 9110 section 5.6.7) in its present form and both obsolete ones. Returns the time since the
/// beginning of 1970.
fn http_date(text: &str) -> Option<Duration> {
    let parts: Vec<_> = text.split([' ', ',', '-']).filter(|part| !part.is_empty()).take(7).collect();
    let (day, month, year, time) = match parts[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT, or Sunday, 06-Nov-94 08:49:37 GMT
        [_, day, month, year, time, "GMT"] => (day, month, year, time),
        // Sun Nov  6 08:49:37 1994
        [_, month, day, time, year] => (day, month, year, time),
        _ => return None,
    };
    const MONTHS: [(&str, u64); 12] = [
        ("Jan", 0),
        ("Feb", 31),
        ("Mar", 59),
        ("Apr", 90),
        ("May", 120),
        ("Jun", 151),
        ("Jul", 181),
        ("Aug", 212),
        ("Sep", 243),
        ("Oct", 273),
        ("Nov", 304),
        ("Dec", 334),
    ];
    let year = match (year.len(), number(year)?) {
        (2, year @ ..70) => year.saturating_add(2000),
        (2, year) => year.saturating_add(1900),
        (4, year @ 1970..) => year,
        _ => return None,
    };
    let &(name, before) = MONTHS.iter().find(|(name, _)| *name == month)?;
    let mut time = time.split(':').map(|part| number(part).filter(|&number| number <= 60));
    let (Some(hours), Some(minutes), Some(seconds), None) =
        (time.next()?, time.next()?, time.next()?, time.next())
    else {
        return None;
    };
    let day = number(day).filter(|day| (1..=31).contains(day))?;
    // Leap days of the years before this one, and of this one if its February is over.
    let leaps = |year: u64| (year / 4).saturating_sub(year / 100).saturating_add(year / 400);
    let past = if matches!(name, "Jan" | "Feb") { year.saturating_sub(1) } else { year };
    let days =
        year.saturating_sub(1970).saturating_mul(365).saturating_add(leaps(past)).saturating_sub(leaps(1969));
    let days = days.saturating_add(before).saturating_add(day).saturating_sub(1);
    let minutes =
        hours.saturating_mul(60).saturating_add(minutes).saturating_add(days.saturating_mul(24 * 60));
    Some(Duration::from_secs(minutes.saturating_mul(60).saturating_add(seconds)))
}
