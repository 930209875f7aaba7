//! Keepalive pings, and the detection of silent peers, under virtual time.

use std::time::Duration;

use proptest::prelude::*;
use ws_core::{Cause, Chunk, CloseCode, Connection, Keepalive, SendError, TimeoutKind, Timestamp};

use crate::support::{
    ROLES, at, at_millis, cases, hear, open_with, ping, pong, secs, sent, strategies, text,
    wire::{Frame, PING},
};

/// Pings every 10 s, each with a timeout of 4 s.
const KEEPALIVE: Keepalive =
    Keepalive { interval: Duration::from_secs(10), timeout: Duration::from_secs(4), max_missed: Some(1) };

fn open(role: ws_core::Role, keepalive: Keepalive) -> Connection {
    open_with(role, |config| {
        config.keepalive = Some(keepalive);
        config.stall_timeout = None;
    })
}

/// Reports the time, and returns the payload of the ping that is sent because of it.
fn ping_at(connection: &mut Connection, now: Timestamp) -> Vec<u8> {
    connection.handle_timeout(now);
    let frames = sent(connection);
    assert_eq!(frames.len(), 1, "one ping at {now}: {frames:?}");
    assert_eq!(frames[0].opcode, PING);
    // The deadline of the ping begins when it is written.
    assert_eq!(connection.poll_timeout(), Some(now));
    connection.handle_timeout(now);
    frames[0].payload.clone()
}

fn is_dead(connection: &Connection) -> bool {
    let dead = connection.close_info().is_some_and(|end| end.cause == Cause::Timeout(TimeoutKind::Keepalive));
    assert_eq!(dead, connection.is_finished());
    dead
}

#[test]
fn a_ping_goes_out_every_interval_and_its_answer_is_the_latency() {
    for role in ROLES {
        let mut connection = open(role, KEEPALIVE);
        let mut payloads = Vec::new();
        for round in 1..20 {
            assert_eq!(connection.poll_timeout(), Some(at(10 * round)));
            connection.handle_timeout(at_millis(10_000 * round - 1));
            assert!(!connection.wants_write());
            let payload = ping_at(&mut connection, at(10 * round));
            assert_eq!(connection.poll_timeout(), Some(at(10 * round + 4)));
            // The connection handles the answer internally.
            assert_eq!(hear(&mut connection, &[Frame::pong(payload.clone())]), []);
            connection.handle_timeout(at_millis(10_000 * round + 37 * round));
            assert_eq!(connection.latency(), Some(Duration::from_millis(37 * round)));
            payloads.push(payload);
        }
        payloads.dedup();
        assert_eq!(payloads.len(), 19, "no ping looks like the one before");
    }
}

#[test]
fn before_the_first_answer_the_latency_is_unknown() {
    for role in ROLES {
        let mut connection = open(role, KEEPALIVE);
        assert_eq!(connection.latency(), None);
        ping_at(&mut connection, at(10));
        hear(&mut connection, &[Frame::text("busy")]);
        connection.handle_timeout(at(14));
        assert_eq!(connection.latency(), None);
    }
}

#[test]
fn a_silent_peer_is_dead_when_the_ping_has_timed_out_and_gets_no_close() {
    for role in ROLES {
        let mut connection = open(role, KEEPALIVE);
        ping_at(&mut connection, at(10));
        connection.handle_timeout(at_millis(13_999));
        assert!(!is_dead(&connection));
        connection.handle_timeout(at(14));
        assert!(is_dead(&connection));
        assert!(!connection.wants_write() && !connection.wants_read());
        assert_eq!(connection.poll_timeout(), None);
        assert_eq!(connection.close_info().unwrap().code, CloseCode::ABNORMAL_CLOSURE);
        assert_eq!(hear(&mut connection, &[Frame::text("too late")]), []);
    }
}

#[test]
fn any_byte_from_the_peer_counts_as_life_and_the_interval_goes_on() {
    for role in ROLES {
        for life in [
            Frame::text("message").encode_for(role),
            Frame::ping("").encode_for(role),
            Frame::pong("not the answer").encode_for(role),
            vec![if role == ws_core::Role::Server { 0x82 } else { 0x81 }],
        ] {
            let mut connection = open(role, KEEPALIVE);
            ping_at(&mut connection, at(10));
            crate::support::events(&mut connection, &life);
            connection.handle_timeout(at(12));
            sent(&mut connection);
            connection.handle_timeout(at(14));
            assert!(!is_dead(&connection));
            assert_eq!(connection.poll_timeout(), Some(at(20)));
            ping_at(&mut connection, at(20));
            connection.handle_timeout(at(24));
            assert!(is_dead(&connection), "life before the second ping does not answer it");
        }
    }
}

#[test]
fn what_was_received_together_with_the_deadline_counts() {
    for role in ROLES {
        let mut connection = open(role, KEEPALIVE);
        let payload = ping_at(&mut connection, at(10));
        // The driver was away for an hour. It reads first and reports the time afterwards.
        hear(&mut connection, &[Frame::pong(payload)]);
        connection.handle_timeout(at(3610));
        assert!(!is_dead(&connection));
        assert_eq!(sent(&mut connection).len(), 1, "the next ping is long due");
    }
}

#[test]
fn the_missed_ping_of_the_configured_number_decides() {
    for role in ROLES {
        for (max_missed, pings) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
            let mut connection = open(role, Keepalive { max_missed: Some(max_missed), ..KEEPALIVE });
            for number in 0..pings {
                assert!(!is_dead(&connection));
                ping_at(&mut connection, at(10 + 4 * number));
            }
            connection.handle_timeout(at_millis(1000 * (10 + 4 * pings) - 1));
            assert!(!is_dead(&connection));
            connection.handle_timeout(at(10 + 4 * pings));
            assert!(is_dead(&connection), "{max_missed}");
        }
    }
}

#[test]
fn a_sign_of_life_forgives_the_pings_missed_before() {
    for role in ROLES {
        let mut connection = open(role, Keepalive { max_missed: Some(2), ..KEEPALIVE });
        for start in [0, 14, 28, 42] {
            ping_at(&mut connection, at(start + 10));
            let second = ping_at(&mut connection, at(start + 14));
            assert_eq!(hear(&mut connection, &[Frame::pong(second)]), []);
            connection.handle_timeout(at(start + 17));
            assert_eq!(connection.latency(), Some(secs(3)));
            assert!(!is_dead(&connection));
        }
    }
}

#[test]
fn late_answers_to_keepalive_pings_are_not_shown_either() {
    for role in ROLES {
        let mut connection = open(role, Keepalive { max_missed: Some(3), ..KEEPALIVE });
        let first = ping_at(&mut connection, at(10));
        ping_at(&mut connection, at(14));
        // The documentation of `Event::Pong`: answers to keepalive pings are not returned.
        assert_eq!(hear(&mut connection, &[Frame::pong(first)]), []);

        let mut connection = open(role, KEEPALIVE);
        let payload = ping_at(&mut connection, at(10));
        hear(&mut connection, &[Frame::text("a long upload goes on")]);
        connection.handle_timeout(at(14));
        assert_eq!(hear(&mut connection, &[Frame::pong(payload)]), []);
    }
}

#[test]
fn pongs_that_answer_no_keepalive_ping_are_shown() {
    for role in ROLES {
        let mut connection = open(role, KEEPALIVE);
        connection.ping(b"asked").unwrap();
        assert_eq!(sent(&mut connection), [Frame::ping("asked")]);
        ping_at(&mut connection, at(10));
        assert_eq!(hear(&mut connection, &[Frame::pong("asked")]), [pong(b"asked")]);
        assert_eq!(hear(&mut connection, &[Frame::pong([0; 8])]), [pong(&[0; 8])]);
        assert_eq!(hear(&mut connection, &[Frame::pong("")]), [pong(b"")]);
    }
}

#[test]
fn without_keepalive_there_are_no_pings_and_no_deadlines() {
    for role in ROLES {
        let mut connection = open_with(role, |config| config.keepalive = None);
        for now in [at(1), at(100), at(1_000_000)] {
            assert_eq!(connection.poll_timeout(), None);
            connection.handle_timeout(now);
        }
        assert!(!connection.wants_write() && !connection.is_finished());
        assert_eq!(hear(&mut connection, &[Frame::pong([0; 8])]), [pong(&[0; 8])]);
    }
}

#[test]
fn a_closing_connection_sends_no_pings() {
    for role in ROLES {
        let mut connection = open_with(role, |config| {
            config.keepalive = Some(KEEPALIVE);
            config.close_timeout = secs(100);
        });
        connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        assert_eq!(sent(&mut connection), [Frame::close(1000, "")]);
        for now in [at(10), at(14), at(20), at(99)] {
            connection.handle_timeout(now);
            assert!(!connection.wants_write() && !connection.is_finished());
        }
    }
}

#[test]
fn pings_are_sent_between_chunks_and_while_the_write_buffer_is_full() {
    for role in ROLES {
        let mut connection = open(role, KEEPALIVE);
        connection.send_chunk(Chunk::new("begun")).unwrap();
        connection.send_chunk(Chunk::new("x".repeat(70_000))).unwrap();
        assert_eq!(connection.send_chunk(Chunk::new("more")), Err(SendError::BufferFull));
        connection.handle_timeout(at(10));
        assert_eq!(sent(&mut connection).last().map(|frame| frame.opcode), Some(PING));
    }
}

#[test]
fn the_shortest_interval_and_timeout_do_not_spin() {
    for role in ROLES {
        let zero =
            Keepalive { interval: Duration::from_nanos(1), timeout: Duration::ZERO, max_missed: Some(3) };
        let mut connection = open(role, zero);
        let mut wakes = 0;
        while let Some(now) = connection.poll_timeout() {
            connection.handle_timeout(now);
            wakes += 1;
            assert!(wakes < 10);
        }
        assert!(is_dead(&connection));
    }
}

#[test]
fn an_interval_of_zero_turns_pings_off() {
    for role in ROLES {
        for timeout in [Duration::ZERO, secs(4), Duration::MAX] {
            for max_missed in [None, Some(0), Some(1)] {
                let off = Keepalive { interval: Duration::ZERO, timeout, max_missed };
                let mut connection = open(role, off);
                assert_eq!(connection.poll_timeout(), None);
                for hour in 0..100 {
                    connection.handle_timeout(at(3600 * hour));
                    assert!(!connection.wants_write());
                }
                assert_eq!(connection.poll_timeout(), None);
            }
        }
    }
}

#[test]
fn without_a_number_of_missed_pings_a_silent_peer_is_pinged_every_interval() {
    for role in ROLES {
        let mut connection = open(role, Keepalive { max_missed: None, ..KEEPALIVE });
        for round in 1..100 {
            ping_at(&mut connection, at(10 * round));
            assert_eq!(connection.poll_timeout(), Some(at(10 * round + 4)));
            connection.handle_timeout(at(10 * round + 4));
            assert!(!connection.wants_write(), "a missed ping is not followed by another one at once");
            assert_eq!(connection.poll_timeout(), Some(at(10 * round + 10)));
        }
        assert!(!is_dead(&connection));
        // The peer comes back.
        let payload = ping_at(&mut connection, at(1000));
        assert_eq!(hear(&mut connection, &[Frame::pong(payload)]), []);
        connection.handle_timeout(at(1001));
        assert_eq!(connection.latency(), Some(secs(1)));
        assert_eq!(connection.poll_timeout(), Some(at(1010)));
    }
}

#[test]
fn without_a_number_of_missed_pings_no_pings_pile_up_before_a_peer_that_does_not_read() {
    for role in ROLES {
        let mut connection = open_with(role, |config| {
            config.keepalive = Some(Keepalive { max_missed: None, ..KEEPALIVE });
            config.write_timeout = None;
        });
        for second in 0..1000 {
            connection.handle_timeout(at(second));
        }
        assert!(!is_dead(&connection));
        assert_eq!(sent(&mut connection).len(), 1);
    }
}

#[test]
fn the_end_of_time_is_no_panic() {
    let end = Timestamp::from(Duration::MAX);
    for role in ROLES {
        let forever =
            Keepalive { interval: Duration::MAX, timeout: Duration::MAX, max_missed: Some(u32::MAX) };
        for keepalive in [KEEPALIVE, forever] {
            let mut connection = open(role, keepalive);
            hear(&mut connection, &[Frame::text("begun").unfinished()]);
            for _ in 0..3 {
                connection.handle_timeout(end);
            }
            connection.receive_eof();
            connection.handle_timeout(end);
            assert!(connection.is_finished());
        }
    }
}

#[test]
fn time_that_runs_backwards_counts_as_the_latest() {
    for role in ROLES {
        let mut connection = open(role, KEEPALIVE);
        let payload = ping_at(&mut connection, at(10));
        connection.handle_timeout(at(12));
        hear(&mut connection, &[Frame::pong(payload)]);
        connection.handle_timeout(at(11));
        assert_eq!(connection.latency(), Some(secs(2)));
        connection.handle_timeout(Timestamp::ZERO);
        assert_eq!(connection.poll_timeout(), Some(at(20)));
    }
}

fn keepalive() -> impl Strategy<Value = Keepalive> {
    let duration = |least| (least..20_000_u64).prop_map(Duration::from_millis);
    (duration(1), duration(0), 0..5_u32).prop_map(|(interval, timeout, max_missed)| Keepalive {
        interval,
        timeout,
        max_missed: Some(max_missed),
    })
}

proptest! {
    #![proptest_config(cases(500))]

    // Invariant: a peer that falls silent at any moment is detected within interval + timeout * max_missed.
    #[test]
    fn a_vanished_peer_is_noticed_in_the_promised_time(
        role in strategies::role(),
        keepalive in keepalive(),
        signs_of_life in prop::collection::vec((any::<bool>(), 0..15_000_u64), 0..10),
    ) {
        let mut connection = open(role, keepalive);
        let mut now = Duration::ZERO;
        let mut last_ping = None;
        for (answers, pause) in signs_of_life {
            // Time passes, all deadlines are reported, and then input from the peer arrives.
            let next = now + Duration::from_millis(pause);
            while let Some(due) = connection.poll_timeout().filter(|due| Duration::from(*due) <= next) {
                connection.handle_timeout(due);
                last_ping = sent(&mut connection).pop().or(last_ping);
            }
            prop_assume!(!connection.is_finished());
            now = next;
            let pong = last_ping.take().filter(|_| answers).map(|frame| Frame::pong(frame.payload));
            hear(&mut connection, &[pong.unwrap_or_else(|| Frame::text("alive"))]);
            connection.handle_timeout(now.into());
            sent(&mut connection);
        }
        let silent_since = now;
        while let Some(due) = connection.poll_timeout() {
            prop_assert!(Duration::from(due) >= now, "a deadline in the past");
            now = due.into();
            connection.handle_timeout(due);
            sent(&mut connection);
        }
        prop_assert!(is_dead(&connection));
        // The documentation of `Keepalive`. Neither time is shorter than a millisecond.
        let at_least = |time: Duration| time.max(Duration::from_millis(1));
        let (interval, timeout) = (at_least(keepalive.interval), at_least(keepalive.timeout));
        let allowed = interval + timeout * keepalive.max_missed.unwrap_or(1).max(1);
        prop_assert!(now - silent_since <= allowed, "{:?} instead of {allowed:?}", now - silent_since);
    }
}

#[test]
fn pings_of_the_peer_and_messages_do_not_postpone_pings() {
    for role in ROLES {
        let mut connection = open(role, KEEPALIVE);
        let mut pings = 0;
        for second in 1..=60 {
            assert_eq!(hear(&mut connection, &[Frame::ping(""), Frame::text("t")]), [ping(b""), text("t")]);
            connection.handle_timeout(at(second));
            pings += sent(&mut connection).iter().filter(|frame| frame.opcode == PING).count();
        }
        assert_eq!(pings, 6);
    }
}
