//! The times at which clients connect again, and a client that misses no message, under virtual time.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use ws_core::{
    CloseCode, Config, Event, Message, ReconnectHint, ReconnectPolicy, ReconnectSchedule, Response, Role,
    Timestamp, testing::Pair,
};

use crate::support::cases;

const SECOND: Duration = Duration::from_secs(1);

fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from(Duration::from_secs(seconds))
}

fn schedule(seed: u16, change: impl FnOnce(&mut ReconnectPolicy)) -> ReconnectSchedule {
    let mut policy = ReconnectPolicy::default();
    change(&mut policy);
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&seed.to_be_bytes());
    ReconnectSchedule::new(policy, bytes)
}

/// Returns the delays of this number of attempts that all fail at once.
fn delays(schedule: &mut ReconnectSchedule, count: usize) -> Vec<Duration> {
    let mut now = Timestamp::ZERO;
    let mut next = || {
        let at = schedule.retry_at(ReconnectHint::None, now).expect("an attempt");
        let delay = at.saturating_duration_since(now);
        now = at;
        delay
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn a_thousand_clients_come_back_spread_over_the_whole_window() {
    // The attempts after a restart, by the number of failures before: 1, 2 and 4 seconds.
    for (failures, window) in [(0, SECOND), (1, 2 * SECOND), (2, 4 * SECOND)] {
        let mut histogram = [0_u32; 10];
        for client in 0..1000 {
            let delay = *delays(&mut schedule(client, |_| {}), failures + 1).last().expect("a delay");
            assert!(delay < window, "{delay:?}");
            histogram[(delay.as_nanos() * 10 / window.as_nanos()) as usize] += 1;
        }
        // The expectation is 100, and the standard deviation 9.5.
        assert!(histogram.iter().all(|count| (60..=140).contains(count)), "{histogram:?}");
    }
}

#[test]
fn the_window_doubles_up_to_its_limit() {
    let longest = |attempt: usize| {
        let of_client = |client| delays(&mut schedule(client, |_| {}), attempt + 1)[attempt];
        (0..200).map(of_client).max().expect("a delay")
    };
    for (attempt, window) in [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16), (5, 30), (6, 30), (40, 30)] {
        let window = Duration::from_secs(window);
        let longest = longest(attempt);
        assert!(longest <= window && longest >= window * 9 / 10, "attempt {attempt}: {longest:?}");
    }
}

#[test]
fn a_number_of_attempts_is_a_limit() {
    let mut schedule = schedule(1, |policy| policy.max_attempts = Some(3));
    delays(&mut schedule, 3);
    assert_eq!(schedule.retry_at(ReconnectHint::None, seconds(100)), None);
}

#[test]
fn no_attempt_begins_after_the_longest_duration() {
    for client in 0..100 {
        let mut schedule = schedule(client, |policy| policy.max_duration = Some(20 * SECOND));
        let mut now = seconds(5);
        while let Some(at) = schedule.retry_at(ReconnectHint::None, now) {
            assert!(at <= seconds(25), "{at}");
            now = at + Duration::from_millis(10);
        }
        let hint = ReconnectHint::RetryAfter(21 * SECOND);
        assert_eq!(
            self::schedule(client, |policy| policy.max_duration = Some(20 * SECOND)).retry_at(hint, now),
            None
        );
    }
}

#[test]
fn a_stable_connection_resets_the_limits_and_the_window() {
    let mut schedule = schedule(3, |policy| policy.max_attempts = Some(8));
    delays(&mut schedule, 8);
    schedule.connected(seconds(1000));
    let at =
        schedule.retry_at(ReconnectHint::None, seconds(1005)).expect("an attempt after a stable connection");
    assert!(at <= seconds(1006), "{at}");
}

#[test]
fn a_server_that_ends_each_connection_at_once_counts_as_one_that_refuses() {
    let mut schedule = schedule(4, |policy| policy.max_attempts = Some(5));
    let mut now = Timestamp::ZERO;
    for _ in 0..5 {
        now = schedule.retry_at(ReconnectHint::None, now).expect("an attempt");
        schedule.connected(now);
        now = now + 4 * SECOND;
    }
    assert_eq!(schedule.retry_at(ReconnectHint::None, now), None);
}

#[test]
fn a_failed_attempt_after_a_connection_is_not_a_stable_connection() {
    let mut schedule = schedule(4, |policy| policy.max_attempts = Some(2));
    schedule.connected(Timestamp::ZERO);
    for now in [1, 100] {
        assert!(schedule.retry_at(ReconnectHint::None, seconds(now)).is_some());
    }
    assert_eq!(schedule.retry_at(ReconnectHint::None, seconds(200)), None);
}

#[test]
fn the_requests_of_the_server_are_obeyed() {
    let retry_after = |seconds| ReconnectHint::RetryAfter(Duration::from_secs(seconds));
    for (hint, from, to) in [
        (retry_after(0), 0, 1),
        (retry_after(120), 120, 121),
        (retry_after(u64::MAX), 3600, 3601),
        (ReconnectHint::of_close(CloseCode::SERVICE_RESTART), 5, 30),
        (ReconnectHint::of_close(CloseCode::TRY_AGAIN_LATER), 30, 60),
        (ReconnectHint::of_close(CloseCode::GOING_AWAY), 0, 1),
    ] {
        let of_client = |client| schedule(client, |_| {}).retry_at(hint, seconds(10)).expect("an attempt");
        let times: Vec<_> = (0..300).map(of_client).collect();
        assert!(times.iter().all(|&at| at >= seconds(10 + from) && at <= seconds(10 + to)), "{hint:?}");
        let (first, last) = (times.iter().min().expect("a time"), times.iter().max().expect("a time"));
        let spread = last.saturating_duration_since(*first);
        assert!(spread * 4 > (to - from) as u32 * SECOND, "{hint:?} is not spread: {spread:?}");
    }
}

#[test]
fn retry_after_is_a_number_of_seconds_or_a_date() {
    // 1994-11-06 08:49:37
    let now = Duration::from_secs(784_111_777);
    for (value, expected) in [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("99999999999999999999999", Some(u64::MAX)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
        ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
        ("Sunday, 06-Nov-94 08:49:38 GMT", Some(1)),
        ("Sun Nov  6 08:49:47 1994", Some(10)),
        ("Mon, 07 Nov 1994 08:49:37 GMT", Some(86_400)),
        ("Sat, 01 Jan 2000 00:00:00 GMT", Some(946_684_800 - 784_111_777)),
        ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400 - 784_111_777)),
        ("Wed, 01 Mar 2000 00:00:00 GMT", Some(951_868_800 - 784_111_777)),
        ("Fri, 31 Dec 2100 23:59:59 GMT", Some(4_133_980_799 - 784_111_777)),
        ("Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
        ("Sun, 06 Nov 1969 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49 GMT", None),
        ("Sun, 06 Nov 1994 08:99:37 GMT", None),
        ("Sun, 32 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Non 1994 08:49:37 GMT", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
    ] {
        let response = Response::new(503).header("Retry-After", value);
        let expected = expected
            .map_or(ReconnectHint::None, |seconds| ReconnectHint::RetryAfter(Duration::from_secs(seconds)));
        assert_eq!(ReconnectHint::of_response(&response, now), expected, "{value:?}");
    }
    assert_eq!(ReconnectHint::of_response(&Response::new(503), now), ReconnectHint::None);
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_retry_after_leads_to_a_bounded_delay(value in ".{0,40}", text in "[A-Z][a-z]{2}[, ]+[0-9]{1,3} (Jan|Feb|Dec) [0-9]{4} [0-9:]{8} GMT") {
        for value in [value, text] {
            let response = Response::new(503).header("Retry-After", &value.replace(char::is_control, ""));
            let hint = ReconnectHint::of_response(&response, Duration::ZERO);
            let at = schedule(0, |_| {}).retry_at(hint, Timestamp::ZERO).expect("an attempt");
            prop_assert!(at <= seconds(3601));
        }
    }

    #[test]
    fn any_policy_leads_to_a_delay_within_its_window(first in any::<Duration>(), max in any::<Duration>(), seed in any::<u16>()) {
        let mut schedule = schedule(seed, |policy| (policy.first_delay, policy.max_delay) = (first, max));
        for _ in 0..70 {
            let at = schedule.retry_at(ReconnectHint::None, Timestamp::ZERO).expect("an attempt");
            prop_assert!(at <= Timestamp::ZERO + max);
        }
    }
}

/// A server that numbers its messages, and its client.
struct Market {
    schedule: ReconnectSchedule,
    random: u64,
    now: Timestamp,
    published: u64,
    /// The last number that the client has received.
    seen: u64,
}

impl Market {
    fn random(&mut self, below: u64) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        Duration::from_millis(self.random % below)
    }

    /// Fails until the server is up again, and connects.
    fn connect(&mut self, hint: ReconnectHint) {
        let up = self.now + self.random(5000);
        let mut hint = hint;
        loop {
            self.now = self.schedule.retry_at(hint, self.now).expect("an attempt");
            hint = ReconnectHint::None;
            if self.now >= up {
                break self.schedule.connected(self.now);
            }
        }
    }

    /// Runs one connection that ends after a random time, with all bytes that are in transit.
    fn run(&mut self, is_last: bool) {
        let mut pair = Pair::open(Arc::new(Config::default()));
        for role in [Role::Client, Role::Server] {
            pair.link(role).delay(Duration::from_millis(30));
        }
        pair.client().send(self.seen.to_string()).expect("room");
        let end = if is_last { 2 * SECOND } else { self.random(2000) };
        let mut sent = None;
        while pair.now() < Timestamp::ZERO + end {
            self.published += 1;
            for event in pair.end(Role::Server).take_events() {
                sent = Some(number(&event));
            }
            while let Some(next) = sent.filter(|&sent| sent < self.published) {
                pair.server().send((next + 1).to_string()).expect("room");
                sent = Some(next + 1);
            }
            pair.advance(Duration::from_millis(10));
        }
        if is_last {
            pair.run_until_idle();
        }
        for event in pair.end(Role::Client).take_events() {
            assert_eq!(number(&event), self.seen + 1);
            self.seen += 1;
        }
        self.now = self.now + end;
    }
}

fn number(event: &Event<'_>) -> u64 {
    let Event::Message(Message::Text(text)) = event else { panic!("{event:?}") };
    text.parse().expect("a number")
}

#[test]
fn a_client_misses_no_number_in_fifty_restarts_at_random_moments() {
    for seed in 1..=20 {
        let mut market = Market {
            schedule: schedule(seed, |_| {}),
            random: u64::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            now: Timestamp::ZERO,
            published: 0,
            seen: 0,
        };
        for restart in 0..50 {
            market.run(false);
            let code = if restart % 7 == 0 { CloseCode::SERVICE_RESTART } else { CloseCode::GOING_AWAY };
            market.connect(ReconnectHint::of_close(code));
        }
        market.run(true);
        assert!(market.published > 1000, "{}", market.published);
        assert_eq!(market.seen, market.published);
    }
}
