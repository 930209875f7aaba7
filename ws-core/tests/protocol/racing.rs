//! The race between the addresses of a host (RFC 8305), under virtual time.

use std::{net::SocketAddr, time::Duration};

use proptest::{collection::vec, prelude::*};
use ws_core::{AddressRace, Timestamp};

use crate::support::cases;

/// The fate of an attempt.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It connects after this time.
    Connects(Duration),
    /// It fails after this time.
    Fails(Duration),
    /// The network swallows its packets.
    Silent,
}

/// The course of a race.
#[derive(Debug, Default)]
struct Course {
    /// The begin of each attempt.
    begun: Vec<(Timestamp, SocketAddr)>,
    /// The times at which attempts have failed.
    failed: Vec<Timestamp>,
    won: Option<(Timestamp, SocketAddr)>,
    lost: bool,
}

/// Runs a race until it is decided or nothing more can happen.
fn run(addresses: &[SocketAddr], delay: Duration, fate: impl Fn(SocketAddr) -> Fate) -> Course {
    let mut race = AddressRace::new(addresses.iter().copied(), delay);
    let (mut now, mut course) = (Timestamp::ZERO, Course::default());
    let mut running: Vec<(Timestamp, SocketAddr, bool)> = Vec::new();
    loop {
        while let Some(address) = race.next_attempt(now) {
            course.begun.push((now, address));
            match fate(address) {
                Fate::Connects(after) => running.push((now + after, address, true)),
                Fate::Fails(after) => running.push((now + after, address, false)),
                Fate::Silent => {}
            }
        }
        course.lost = race.is_lost();
        running.sort_by_key(|(at, ..)| *at);
        let next = running.first().map(|(at, ..)| *at);
        let Some(until) = next.into_iter().chain(race.poll_timeout()).min() else { return course };
        assert!(until > now || next == Some(now), "the race demands a wait that is over");
        now = until;
        if next == Some(now) {
            let (_, address, connects) = running.remove(0);
            if connects {
                course.won = Some((now, address));
                return course;
            }
            course.failed.push(now);
            race.attempt_failed();
        }
    }
}

fn v4(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 443))
}

fn v6(number: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, number], 443))
}

fn millis(millis: u64) -> Timestamp {
    Timestamp::from(Duration::from_millis(millis))
}

const DELAY: Duration = AddressRace::DEFAULT_DELAY;

fn order(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let course = run(addresses, DELAY, |_| Fate::Silent);
    course.begun.into_iter().map(|(_, address)| address).collect()
}

#[test]
fn families_alternate_beginning_with_that_of_the_first_address() {
    assert_eq!(order(&[v6(1), v6(2), v6(3), v4(1), v4(2)]), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
    assert_eq!(order(&[v4(1), v4(2), v6(1)]), [v4(1), v6(1), v4(2)]);
    assert_eq!(order(&[v4(2), v4(1)]), [v4(2), v4(1)]);
    assert_eq!(order(&[v4(1), v4(1), v4(2), v4(1)]), [v4(1), v4(2)], "a repeated address counts once");
    assert_eq!(order(&[]), []);
}

#[test]
fn a_first_address_that_swallows_packets_costs_the_delay() {
    let course = run(&[v6(1), v4(1)], DELAY, |address| match address.is_ipv6() {
        true => Fate::Silent,
        false => Fate::Connects(Duration::from_millis(20)),
    });
    assert_eq!(course.won, Some((millis(270), v4(1))));
}

#[test]
fn an_attempt_that_is_late_may_still_win() {
    let course = run(&[v6(1), v4(1)], DELAY, |address| match address.is_ipv6() {
        true => Fate::Connects(Duration::from_millis(300)),
        false => Fate::Connects(Duration::from_millis(500)),
    });
    assert_eq!(course.won, Some((millis(300), v6(1))));
}

#[test]
fn a_failed_attempt_starts_the_next_one_at_once() {
    let course = run(&[v6(1), v4(1), v6(2)], DELAY, |address| match address == v6(2) {
        true => Fate::Connects(Duration::from_millis(1)),
        false => Fate::Fails(Duration::from_millis(7)),
    });
    assert_eq!(course.begun, [(millis(0), v6(1)), (millis(7), v4(1)), (millis(14), v6(2))]);
    assert_eq!(course.won, Some((millis(15), v6(2))));
}

#[test]
fn a_race_is_lost_when_all_attempts_have_failed() {
    let course = run(&[v6(1), v4(1)], DELAY, |_| Fate::Fails(Duration::from_secs(1)));
    assert!(course.lost && course.won.is_none());
    assert_eq!(course.begun.len(), 2);
    assert!(AddressRace::new([], DELAY).is_lost());
}

#[test]
fn a_short_delay_counts_as_ten_milliseconds_and_a_long_list_is_cut() {
    let course = run(&[v4(1), v4(2)], Duration::ZERO, |_| Fate::Silent);
    assert_eq!(course.begun, [(millis(0), v4(1)), (millis(10), v4(2))]);
    let many: Vec<_> = (0..10_000).map(v6).collect();
    assert_eq!(order(&many).len(), AddressRace::MAX_ADDRESSES);
}

fn fate() -> impl Strategy<Value = Fate> {
    let time = || (0..2000_u64).prop_map(Duration::from_millis);
    prop_oneof![time().prop_map(Fate::Connects), time().prop_map(Fate::Fails), Just(Fate::Silent)]
}

proptest! {
    #![proptest_config(cases(500))]

    // Each attempt begins one delay after the one before, or when an attempt fails in between. The earliest success wins, and
    // no address with a success waits longer than the delay for each address before it.
    #[test]
    fn attempts_begin_after_the_delay_or_a_failure(
        fates in vec((any::<bool>(), fate()), 1..12),
        delay in (10..1000_u64).prop_map(Duration::from_millis),
    ) {
        let addresses: Vec<_> = fates
            .iter()
            .enumerate()
            .map(|(at, (is_v6, _))| if *is_v6 { v6(at as u16) } else { v4(at as u8) })
            .collect();
        let fate = |address| fates[addresses.iter().position(|other| *other == address).unwrap()].1;
        let course = run(&addresses, delay, fate);

        for pair in course.begun.windows(2) {
            let (before, begun) = (pair[0].0, pair[1].0);
            prop_assert!(
                begun == before + delay || (begun < before + delay && course.failed.contains(&begun)),
                "{course:?}"
            );
        }
        for (number, (begun, address)) in course.begun.iter().enumerate() {
            prop_assert!(*begun <= Timestamp::ZERO + delay * number as u32);
            if let Fate::Connects(after) = fate(*address) {
                prop_assert!(course.won.unwrap().0 <= *begun + after);
            }
        }
        let can_win = fates.iter().any(|(_, fate)| matches!(fate, Fate::Connects(_)));
        prop_assert_eq!(course.won.is_some(), can_win);
        let all_fail = fates.iter().all(|(_, fate)| matches!(fate, Fate::Fails(_)));
        prop_assert_eq!(course.lost, all_fail);
        if !can_win {
            prop_assert_eq!(course.begun.len(), addresses.len());
        }
    }
}
