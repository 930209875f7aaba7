//! The phases of closing: flushing, waiting for the peer's Close, and draining the input that the peer still sends.

use bytes::Buf;
use ws_core::{Cause, CloseCode, Role, State, TimeoutKind, Transmit};

use crate::support::{
    ROLES, at, at_millis, cause, events, hear, open_with, quiet, receive, secs, sent,
    wire::{self, Frame},
    write, written,
};

#[test]
fn while_closing_each_accepted_byte_starts_the_close_timeout_again() {
    for role in ROLES {
        for buffers in [false, true] {
            let mut connection = quiet(role);
            connection.send(vec![0; 100_000]).unwrap();
            connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
            let mut output = Transmit::default();
            if buffers {
                connection.take_transmit(&mut output);
            }
            for turn in 0..20 {
                connection.handle_timeout(at(4 * turn));
                assert!(!connection.is_finished());
                match buffers {
                    // Encrypted bytes were written. The messages that they contain are reported at their end.
                    true => connection.note_progress(),
                    false => write(&mut connection, 1),
                }
            }
            connection.handle_timeout(at(80));
            connection.handle_timeout(at(85));
            assert!(connection.is_finished());
        }
    }
}

#[test]
fn a_reader_of_one_byte_per_second_cannot_hold_a_closing_connection() {
    for role in ROLES {
        for size in [0, 1, 1000, 100_000] {
            let mut connection = quiet(role);
            connection.handle_timeout(at(100));
            connection.send(vec![0; size]).unwrap();
            connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
            let allowed = secs(5) + secs(connection.buffered().div_ceil(256) as u64);
            let mut now = at(100);
            while connection.buffered() > 0 {
                connection.handle_timeout(now);
                write(&mut connection, 1);
                now = now + secs(1);
            }
            assert!(now <= at(100) + allowed + secs(1), "{size} bytes took until {now}");
            if size >= 1000 {
                assert_eq!(cause(&connection), Some(Cause::Timeout(TimeoutKind::Close)));
                assert!(connection.is_finished());
            }
        }
    }
}

#[test]
fn the_wait_for_the_peers_close_is_not_extended_by_anything_accepted() {
    let mut server = quiet(Role::Server);
    server.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert_eq!(wire::frames(&written(&mut server)).unwrap(), [Frame::close(1000, "")]);
    for millis in (0..5000).step_by(500) {
        server.handle_timeout(at_millis(millis));
        server.note_progress();
    }
    server.handle_timeout(at(5));
    assert!(server.is_finished());
}

#[test]
fn a_failed_end_shuts_its_direction_down_and_drops_what_still_comes() {
    for role in ROLES {
        let mut connection = quiet(role);
        // A reserved opcode, and 300 kB of useless data.
        let stream = [Frame::new(11, "").encode_for(role), vec![0xFF; 300_000]].concat();
        let error = receive(&mut connection, &stream[..100_000]).error;
        assert!(error.is_some());
        assert!(!connection.wants_shutdown(), "the Close is not written yet");
        assert_eq!(sent(&mut connection)[0].payload[..2], 1002_u16.to_be_bytes());
        for piece in stream[100_000..].chunks(4096) {
            assert!(connection.wants_shutdown() && connection.wants_read() && !connection.is_finished());
            let received = receive(&mut connection, piece);
            assert_eq!((received.events, received.error), (vec![], error), "the error stays");
            connection.handle_timeout(at(1));
        }
        assert!(!connection.wants_write());
        connection.receive_eof();
        assert!(connection.is_finished() && !connection.wants_shutdown() && !connection.wants_read());
    }
}

#[test]
fn draining_has_a_deadline_of_its_own() {
    for role in ROLES {
        let mut connection = quiet(role);
        connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        connection.handle_timeout(at(0));
        connection.handle_timeout(at(4));
        written(&mut connection);
        connection.handle_timeout(at(4));
        connection.handle_timeout(at(8));
        hear(&mut connection, &[Frame::close(1000, "")]);
        assert_eq!(connection.poll_timeout(), Some(at(8)), "a new phase has begun");
        connection.handle_timeout(at(8));
        assert_eq!(connection.poll_timeout(), Some(at(13)));
        // Further input from the peer does not extend it.
        for millis in (8000..13_000).step_by(500) {
            assert_eq!(events(&mut connection, &[0xFF; 100]), []);
            connection.handle_timeout(at_millis(millis));
            assert_eq!(connection.state(), State::Closing);
        }
        connection.handle_timeout(at(13));
        assert_eq!((connection.state(), connection.poll_timeout()), (State::Closed, None));
        assert!(connection.close_info().unwrap().was_clean);
    }
}

#[test]
fn bytes_in_flight_keep_a_connection_from_shutting_down_and_finishing() {
    for role in ROLES {
        let mut connection = quiet(role);
        connection.send("queued before the Close").unwrap();
        let mut output = Transmit::default();
        connection.take_transmit(&mut output);
        hear(&mut connection, &[Frame::close(1000, "")]);
        connection.take_transmit(&mut output);
        assert!(!connection.wants_write());
        for _ in 0..output.remaining() {
            assert_eq!(connection.state(), State::Closing);
            assert!(!connection.wants_shutdown());
            connection.written(1);
        }
        assert_eq!(connection.wants_shutdown(), role == Role::Server);
        connection.receive_eof();
        assert!(connection.is_finished());
    }
}

#[test]
fn bytes_in_flight_at_the_end_of_the_stream_are_still_to_be_written() {
    for role in ROLES {
        let mut connection = quiet(role);
        connection.send("last words").unwrap();
        let mut output = Transmit::default();
        connection.take_transmit(&mut output);
        connection.receive_eof();
        assert_eq!((connection.state(), connection.wants_write()), (State::Closing, false));
        connection.written(output.remaining() - 1);
        assert_eq!(connection.state(), State::Closing);
        connection.written(1);
        assert_eq!(connection.state(), State::Closed);
    }
}

#[test]
fn after_end_of_stream_a_connection_is_closing_while_output_waits() {
    for role in ROLES {
        let mut connection = quiet(role);
        connection.send("last words").unwrap();
        connection.receive_eof();
        assert_eq!(connection.state(), State::Closing);
        assert!(connection.wants_write() && !connection.wants_read() && !connection.is_finished());
        // No Close: the peer did not begin the closing handshake.
        assert_eq!(sent(&mut connection), [Frame::text("last words")]);
        assert_eq!((connection.state(), connection.wants_write()), (State::Closed, false));
    }
}

#[test]
fn a_broken_transport_drops_the_output_and_the_peer_is_still_heard() {
    for role in ROLES {
        let mut connection = quiet(role);
        connection.send("never read").unwrap();
        let mut output = Transmit::default();
        connection.take_transmit(&mut output);
        connection.send("never taken").unwrap();
        connection.discard_output();
        assert_eq!((connection.buffered(), connection.wants_write()), (0, false));
        assert!(connection.wants_read() && !connection.is_finished());
        // A late report changes nothing.
        connection.written(output.remaining());
        assert_eq!(hear(&mut connection, &[Frame::text("a"), Frame::ping("b")]).len(), 2);
        assert_eq!(hear(&mut connection, &[Frame::close(1001, "bye")]).len(), 1);
        assert!(!connection.wants_write(), "nothing more is queued");
        connection.receive_eof();
        assert!(connection.is_finished());
        assert_eq!(connection.close_info().unwrap().code, CloseCode::GOING_AWAY);
    }
}

#[test]
fn after_a_broken_transport_the_close_timeout_bounds_the_wait_for_a_peer() {
    for role in ROLES {
        let mut connection = quiet(role);
        connection.handle_timeout(at(100));
        connection.discard_output();
        connection.handle_timeout(at(100));
        assert_eq!(connection.poll_timeout(), Some(at(105)));
        connection.handle_timeout(at(105));
        assert!(connection.is_finished());
    }
}

#[test]
fn output_queued_before_the_peers_close_is_written_then_one_close() {
    for role in ROLES {
        let mut connection = open_with(role, |config| config.write_buffer_size = usize::MAX);
        let mut expected = Vec::new();
        let mut driver = Transmit::default();
        for number in 0..50_u8 {
            hear(&mut connection, &[Frame::binary(vec![number; 1000])]);
            connection.reply(vec![number; 1000]).unwrap();
            expected.push(Frame::binary(vec![number; 1000]));
            if number % 7 == 0 {
                connection.take_transmit(&mut driver);
            }
        }
        hear(&mut connection, &[Frame::close(1000, "done")]);
        expected.push(Frame::close(1000, ""));
        let mut output = Vec::new();
        while !(connection.wants_shutdown() || connection.buffered() == 0) {
            connection.take_transmit(&mut driver);
            let piece = driver.copy_to_bytes(driver.remaining().min(777));
            connection.written(piece.len());
            output.extend_from_slice(&piece);
        }
        let mut frames = wire::frames(&output).unwrap();
        frames.iter_mut().for_each(|frame| frame.key = None);
        assert_eq!(frames, expected);
    }
}
