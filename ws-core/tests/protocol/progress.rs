//! Progress of output: the distinction between a slow peer and one that does not read, under virtual time.

use std::time::Duration;

use bytes::Buf;
use ws_core::{Cause, CloseCode, Connection, Keepalive, Role, State, TimeoutKind, Timestamp, Transmit};

use crate::support::{
    ROLES, at, at_millis, cause, hear, open_with, quiet, secs, sent, text,
    wire::{self, Frame, PING},
    write, written,
};

/// Returns a connection with pings every 10 s, each with a timeout of 4 s, and with no other deadlines.
fn pinging(role: Role) -> Connection {
    open_with(role, |config| {
        let (interval, timeout) = (secs(10), secs(4));
        config.keepalive = Some(Keepalive { interval, timeout, max_missed: Some(1) });
        config.write_timeout = None;
        config.stall_timeout = None;
        config.write_buffer_size = usize::MAX;
    })
}

const DEAD: Option<Cause> = Some(Cause::Timeout(TimeoutKind::Keepalive));
const STUCK: Option<Cause> = Some(Cause::Timeout(TimeoutKind::Write));

#[test]
fn a_message_of_1_mib_at_20_kb_per_second_does_not_end_the_connection() {
    for role in ROLES {
        // All defaults: keepalive after 20 s, dead 20 s later.
        let mut connection = open_with(role, |_| {});
        connection.send(vec![7; 1 << 20]).unwrap();
        let (mut output, mut arrived) = (Transmit::default(), Vec::new());
        let mut pings = 0;
        for tick in 0..1200 {
            connection.handle_timeout(at_millis(100 * tick));
            assert_eq!(cause(&connection), None, "after {tick} ticks");
            connection.take_transmit(&mut output);
            // 2,000 bytes in 100 ms.
            let count = output.remaining().min(2000);
            arrived.extend_from_slice(&output.copy_to_bytes(count));
            connection.written(count);
            if connection.buffered() == 0 {
                for frame in wire::frames(&arrived).unwrap().into_iter().filter(|frame| frame.opcode == PING)
                {
                    pings += 1;
                    hear(&mut connection, &[Frame::pong(frame.payload)]);
                }
                arrived.clear();
            }
        }
        assert!(pings > 0, "the pings behind the message were written");
    }
}

/// Lets 60 s pass in which this end sends a message every 20 ms and the peer sends nothing.
fn broadcast(connection: &mut Connection, accepts: impl Fn(u64) -> usize) -> Option<u64> {
    for tick in 0..3000 {
        let _ = connection.send("a broadcast message");
        connection.handle_timeout(at_millis(20 * tick));
        write(connection, accepts(tick));
        if connection.is_finished() {
            assert_eq!(cause(connection), DEAD);
            return Some(20 * tick);
        }
    }
    None
}

#[test]
fn bytes_that_are_accepted_at_once_are_no_sign_of_life() {
    for role in ROLES {
        assert_eq!(broadcast(&mut pinging(role), |_| usize::MAX), Some(14_020));
    }
}

#[test]
fn a_transport_that_refuses_at_some_time_does_not_hide_a_dead_peer() {
    for role in ROLES {
        for refuses_from in [0, 100, 400, 499, 500, 501, 600] {
            let died = broadcast(&mut pinging(role), |tick| if tick < refuses_from { usize::MAX } else { 0 });
            assert!(died.is_some_and(|died| died <= 14_020), "{refuses_from}: {died:?}");
        }
    }
}

#[test]
fn bytes_that_are_accepted_after_a_refusal_are_a_sign_of_life() {
    for role in ROLES {
        // The peer reads a little every second. The backlog grows, and the ping waits in it.
        assert_eq!(broadcast(&mut pinging(role), |tick| if tick % 50 == 0 { 100 } else { 0 }), None);
    }
}

#[test]
fn progress_of_a_transport_that_buffers_counts_only_after_a_refusal() {
    for role in ROLES {
        for refuses in [false, true] {
            let mut connection = pinging(role);
            let mut output = Transmit::default();
            connection.handle_timeout(at(10));
            connection.take_transmit(&mut output);
            if !refuses {
                connection.written(output.remaining());
            }
            for second in 10..40 {
                connection.handle_timeout(at(second));
                connection.note_progress();
            }
            assert_eq!(cause(&connection), if refuses { None } else { DEAD });
        }
    }
}

#[test]
fn the_write_timeout_ends_a_connection_whose_peer_does_not_read() {
    for role in ROLES {
        let mut connection = quiet(role);
        connection.handle_timeout(at(100));
        connection.send("unread").unwrap();
        assert!(connection.poll_timeout().is_some_and(|due| due <= at(130)));
        connection.handle_timeout(at(100));
        assert_eq!(connection.poll_timeout(), Some(at(130)));
        write(&mut connection, 1);
        assert_eq!(connection.poll_timeout(), Some(at(100)), "its deadline starts now");
        connection.handle_timeout(at(100));
        assert_eq!(connection.poll_timeout(), Some(at(130)));
        connection.handle_timeout(at_millis(129_999));
        assert_eq!(connection.state(), State::Open);
        connection.handle_timeout(at(130));
        assert_eq!((connection.state(), cause(&connection)), (State::Closed, STUCK));
        assert_eq!((connection.buffered(), connection.poll_timeout()), (0, None));
    }
}

#[test]
fn without_keepalive_a_peer_that_does_not_read_is_not_kept_for_a_day() {
    for role in ROLES {
        for taken in [false, true] {
            let mut connection = quiet(role);
            connection.send("unread").unwrap();
            let mut output = Transmit::default();
            if taken {
                connection.take_transmit(&mut output);
            }
            let day = at(24 * 3600);
            while let Some(due) = connection.poll_timeout().filter(|due| *due <= day) {
                connection.handle_timeout(due);
            }
            assert_eq!(cause(&connection), STUCK);
        }
    }
}

#[test]
fn an_idle_connection_without_keepalive_is_kept_for_a_day() {
    for role in ROLES {
        let mut connection = quiet(role);
        connection.send("read at once").unwrap();
        written(&mut connection);
        connection.handle_timeout(at(24 * 3600));
        connection.send("read at once").unwrap();
        written(&mut connection);
        connection.handle_timeout(at(48 * 3600));
        assert_eq!((connection.state(), connection.poll_timeout()), (State::Open, None));
    }
}

#[test]
fn each_accepted_byte_restarts_the_write_timeout_in_any_order_of_calls() {
    for role in ROLES {
        for writes_first in [false, true] {
            let mut connection = quiet(role);
            connection.send(vec![0; 1000]).unwrap();
            for turn in 0..20 {
                if writes_first {
                    write(&mut connection, 1);
                }
                connection.handle_timeout(at(29 * turn));
                if !writes_first {
                    write(&mut connection, 1);
                }
                assert_eq!(connection.state(), State::Open, "{turn}, {writes_first}");
            }
            // Bytes that are written after a report of the time are noticed at the next report.
            let last = at(29 * 19 + 29);
            connection.handle_timeout(last);
            connection.handle_timeout(last + secs(30));
            assert_eq!(cause(&connection), STUCK);
        }
    }
}

#[test]
fn an_idle_connection_without_time_updates_does_not_time_out() {
    for role in ROLES {
        let mut connection = quiet(role);
        connection.handle_timeout(at(0));
        // An hour later, a message is sent. The deadline of an hour ago does not count.
        connection.send("news").unwrap();
        connection.handle_timeout(at(3600));
        assert_eq!(connection.state(), State::Open);
        assert_eq!(connection.poll_timeout(), Some(at(3630)));
    }
}

#[test]
fn while_replies_pause_receiving_silence_proves_nothing() {
    for role in ROLES {
        let mut connection = pinging(role);
        let mut paused = open_with(role, |config| {
            *config = (**connection.config()).clone();
            config.write_buffer_size = 100;
        });
        for connection in [&mut connection, &mut paused] {
            connection.reply(vec![0; 1000]).unwrap();
            for second in 0..1000 {
                connection.handle_timeout(at(second));
            }
        }
        assert_eq!(cause(&connection), DEAD);
        assert!(!paused.wants_read());
        assert_eq!(cause(&paused), None);
        // When this end reads again, the waiting ping has its whole timeout, and the peer's messages count.
        assert!(sent(&mut paused).iter().any(|frame| frame.opcode == PING));
        paused.handle_timeout(at(1000));
        paused.handle_timeout(at_millis(1_003_999));
        assert_eq!(hear(&mut paused, &[Frame::text("alive all the time")]), [text("alive all the time")]);
        paused.handle_timeout(at(1004));
        assert_eq!(cause(&paused), None);
    }
}

#[test]
fn own_messages_that_wait_do_not_keep_a_living_peer_from_being_heard() {
    for role in ROLES {
        let mut connection = open_with(role, |config| config.write_timeout = None);
        connection.send(vec![0; 64 << 10]).unwrap();
        // The peer reads nothing and sends a message every second.
        for second in 0..600 {
            connection.handle_timeout(at(second));
            assert!(connection.wants_read());
            assert_eq!(hear(&mut connection, &[Frame::text("t")]), [text("t")]);
        }
        assert_eq!(connection.state(), State::Open);
    }
}

#[test]
fn writing_makes_the_next_deadline_earlier_and_it_is_asked_for_afterwards() {
    for role in ROLES {
        let mut connection = pinging(role);
        connection.handle_timeout(at(10));
        assert_eq!(connection.poll_timeout(), Some(at(14)), "the ping waits");
        sent(&mut connection);
        // The deadline of the ping starts now, so the connection needs the current time.
        assert_eq!(connection.poll_timeout(), Some(at(10)));
        connection.handle_timeout(at(12));
        assert_eq!(connection.poll_timeout(), Some(at(16)));
        // The same applies to the pause of waiting output, and to the wait for the peer's Close.
        connection.send("ab").unwrap();
        write(&mut connection, 1);
        assert_eq!(connection.poll_timeout(), Some(at(12)));
        connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        connection.handle_timeout(at(12));
        assert_eq!(connection.poll_timeout(), Some(at(12) + Duration::from_secs(5)));
        written(&mut connection);
        assert_eq!(connection.poll_timeout(), Some(at(12)));
    }
}
#[test]
fn a_pause_restarts_the_whole_stall_timeout_in_any_order_of_calls() {
    for role in ROLES {
        for writes_first in [false, true] {
            let mut connection = open_with(role, |config| {
                config.keepalive = None;
                config.write_timeout = None;
            });
            hear(&mut connection, &[Frame::text("begun").unfinished()]);
            connection.handle_timeout(at(1));
            connection.reply(vec![0; 100_000]).unwrap();
            if !writes_first {
                connection.handle_timeout(at(1000));
            }
            written(&mut connection);
            connection.handle_timeout(at(1000));
            assert_eq!(connection.state(), State::Open);
            assert_eq!(connection.poll_timeout(), Some(at(1030)));
        }
    }
}
#[test]
fn a_peer_that_vanishes_right_after_a_sign_of_life_is_noticed_in_time() {
    // The timeout is longer than the interval, and the last byte arrives together with the report that the ping was
    // written.
    let keepalive = Keepalive { interval: secs(1), timeout: secs(10), max_missed: Some(1) };
    for role in ROLES {
        let mut connection = open_with(role, |config| config.keepalive = Some(keepalive));
        connection.handle_timeout(at(1));
        sent(&mut connection);
        hear(&mut connection, &[Frame::text("last words")]);
        connection.handle_timeout(at(1));
        let mut now = Timestamp::ZERO;
        while let Some(due) = connection.poll_timeout() {
            now = due;
            connection.handle_timeout(due);
            sent(&mut connection);
        }
        assert_eq!(cause(&connection), DEAD);
        assert!(now <= at(1 + 1 + 10), "noticed at {now}");
    }
}

#[test]
fn the_deadline_of_a_ping_starts_when_its_last_byte_was_written() {
    for role in ROLES {
        let mut connection = pinging(role);
        connection.send(vec![0; 200_000]).unwrap();
        // The transport refuses some bytes, and accepts more every second.
        for second in 0..50 {
            connection.handle_timeout(at(second));
            write(&mut connection, 2000);
        }
        let mut output = Transmit::default();
        connection.take_transmit(&mut output);
        connection.written(output.remaining() - 1);
        connection.handle_timeout(at(50));
        assert_eq!(connection.poll_timeout(), Some(at(54)), "progress is waited for");
        connection.handle_timeout(at(53));
        connection.written(1);
        assert_eq!(connection.poll_timeout(), Some(at(53)), "its deadline starts now");
        connection.handle_timeout(at(53));
        assert_eq!(connection.poll_timeout(), Some(at(57)));
        connection.handle_timeout(at_millis(56_999));
        assert_eq!(cause(&connection), None);
        connection.handle_timeout(at(57));
        assert_eq!(cause(&connection), DEAD);
    }
}
