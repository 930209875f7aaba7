//! Pings that cross this end's own Close. RFC 6455 5.5.2: a ping is answered "unless it already received a Close
//! frame". 5.5.1 forbids only "any more data frames" after a Close, and a pong is a control frame.

use bytes::Buf;
use ws_core::{Cause, CloseCode, Connection, Event, Role, State, TimeoutKind};

use crate::support::{
    ROLES, at, at_millis, closed, error_of, hear, open, ping, pong, sent, text, wire::Frame, written,
};

/// Returns a connection that has written its Close.
fn with_close_written(role: Role) -> Connection {
    let mut connection = open(role);
    connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert_eq!(sent(&mut connection), [Frame::close(1000, "")]);
    connection
}

#[test]
fn a_ping_behind_our_own_close_is_answered() {
    for role in ROLES {
        let mut connection = open(role);
        connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        let frames = [Frame::text("still"), Frame::ping("p"), Frame::pong("q"), Frame::text("coming")];
        assert_eq!(hear(&mut connection, &frames), [text("still"), ping(b"p"), pong(b"q"), text("coming")]);
        assert_eq!(sent(&mut connection), [Frame::close(1000, ""), Frame::pong("p")]);
        assert_eq!(connection.state(), State::Closing);
        assert_eq!(hear(&mut connection, &[Frame::ping("r")]), [ping(b"r")]);
        assert_eq!(sent(&mut connection), [Frame::pong("r")]);
        assert_eq!(hear(&mut connection, &[Frame::close(1000, "")]), [closed(1000, "")]);
        assert_eq!(sent(&mut connection), []);
        assert!(connection.close_info().unwrap().was_clean);
    }
}

#[test]
fn a_ping_behind_the_peers_close_is_not_answered() {
    for role in ROLES {
        for mut connection in [open(role), with_close_written(role)] {
            let was_open = connection.state() == State::Open;
            hear(&mut connection, &[Frame::close(1000, ""), Frame::ping("p")]);
            let echo = [Frame::close(1000, "")];
            assert_eq!(sent(&mut connection), echo[..usize::from(was_open)]);
        }
    }
}

#[test]
fn a_pong_behind_our_close_is_written_before_the_connection_ends() {
    let ends: [fn(&mut Connection); 3] = [
        |connection| drop(hear(connection, &[Frame::close(1000, "")])),
        |connection| assert!(error_of(connection, &[Frame::continuation("")]).is_some()),
        Connection::receive_eof,
    ];
    for role in ROLES {
        for end in ends {
            let mut connection = with_close_written(role);
            hear(&mut connection, &[Frame::ping("p")]);
            end(&mut connection);
            assert!(!connection.wants_shutdown() && !connection.is_finished());
            assert!(connection.wants_write() && connection.buffered() > 0);
            assert_eq!(sent(&mut connection), [Frame::pong("p")]);
            assert!(!connection.wants_write());
            connection.receive_eof();
            assert!(connection.is_finished());
        }
    }
}

#[test]
fn a_pong_that_waits_behind_others_is_written_before_the_connection_ends() {
    for role in ROLES {
        let mut connection = with_close_written(role);
        // A flood of pings. The last one has to wait.
        for number in 0..200_u8 {
            hear(&mut connection, &[Frame::ping([number; 100])]);
        }
        hear(&mut connection, &[Frame::close(1000, "")]);
        let pongs = sent(&mut connection);
        assert_eq!(pongs.last(), Some(&Frame::pong([199; 100])));
        assert!(pongs.len() < 100);
        assert!(!connection.wants_write());
    }
}

#[test]
fn pings_do_not_prolong_the_wait_for_the_peers_close() {
    for role in ROLES {
        for writes in [true, false] {
            let mut connection = with_close_written(role);
            connection.handle_timeout(at(1));
            for quarter in 1..20 {
                assert_eq!(connection.poll_timeout(), Some(at(6)), "the default close timeout is 5 seconds");
                hear(&mut connection, &[Frame::ping([quarter])]);
                if writes {
                    assert_eq!(sent(&mut connection), [Frame::pong([quarter])]);
                }
                connection.handle_timeout(at_millis(1000 + 250 * u64::from(quarter)));
                assert_eq!(connection.state(), State::Closing);
            }
            connection.handle_timeout(at(6));
            assert!(connection.is_finished() && !connection.wants_write());
            assert_eq!(connection.close_info().unwrap().cause, Cause::Timeout(TimeoutKind::Close));
        }
    }
}

#[test]
fn pings_behind_a_close_that_is_not_written_do_not_prolong_its_deadline() {
    for role in ROLES {
        let mut connection = open(role);
        connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        assert!(connection.transmit().has_remaining());
        connection.handle_timeout(at(1));
        let deadline = connection.poll_timeout();
        for second in 2..6 {
            hear(&mut connection, &[Frame::ping("p")]);
            connection.handle_timeout(at(second));
            assert_eq!(connection.poll_timeout(), deadline);
        }
        connection.handle_timeout(deadline.unwrap());
        assert!(connection.is_finished());
    }
}

#[test]
fn a_ping_is_not_answered_where_nothing_can_be_written() {
    for role in ROLES {
        let mut connection = with_close_written(role);
        connection.discard_output();
        assert_eq!(hear(&mut connection, &[Frame::ping("p")]), [Event::Ping(b"p"[..].into())]);
        assert!(!connection.wants_write());
        assert_eq!(written(&mut connection), b"");
    }
}
