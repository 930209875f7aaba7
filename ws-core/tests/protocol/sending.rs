//! A call that a connection cannot carry out is refused, and changes nothing.

use ws_core::{Chunk, CloseCode, CloseFrame, Config, Connection, Message, PreparedMessage, Role, SendError};

use crate::support::{
    ROLES, hear, open, open_with, sent,
    wire::{self, Frame},
    written,
};

/// An action on a connection, and its name.
type Named<T> = (&'static str, fn(&mut Connection) -> T);

/// All methods that send.
const WAYS: [Named<Result<(), SendError>>; 7] = [
    ("send", |connection| connection.send("m")),
    ("send owned", |connection| connection.send(vec![0; 10_000])),
    ("send_prepared", |connection| connection.send_prepared(&PreparedMessage::new("m"))),
    ("send_chunk", |connection| connection.send_chunk(Chunk::new("m"))),
    ("send_chunk last", |connection| connection.send_chunk(Chunk::last("m"))),
    ("ping", |connection| connection.ping(b"m")),
    ("pong", |connection| connection.pong(b"m")),
];

/// Asserts that `refused` fails in this way, and that the connection afterwards behaves as before.
fn refuses(
    mut connection: Connection,
    error: SendError,
    what: &str,
    refused: impl Fn(&mut Connection) -> Result<(), SendError>,
) {
    let before =
        (connection.buffered(), connection.state(), connection.close_info(), connection.poll_timeout());
    assert_eq!(refused(&mut connection), Err(error), "{what}");
    let after =
        (connection.buffered(), connection.state(), connection.close_info(), connection.poll_timeout());
    assert_eq!(after, before, "{what}");
}

#[test]
fn nothing_is_sent_once_the_connection_is_closing_whoever_began() {
    let ends: [Named<()>; 4] = [
        ("close", |connection| connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap()),
        ("fail", |connection| connection.fail(CloseCode::POLICY_VIOLATION, "no").unwrap()),
        ("their Close", |connection| drop(hear(connection, &[Frame::close(1000, "")]))),
        ("end of stream", Connection::receive_eof),
    ];
    for role in ROLES {
        for (end, begin) in ends {
            for (way, send) in WAYS {
                let mut connection = open(role);
                begin(&mut connection);
                refuses(connection, SendError::Closed, &format!("{way} after {end}"), send);
            }
            let mut connection = open(role);
            begin(&mut connection);
            refuses(connection, SendError::Closed, end, |connection| {
                connection.close(CloseCode::NORMAL_CLOSURE, "again")
            });
        }
    }
}

#[test]
fn sends_fail_only_while_the_write_buffer_is_full() {
    for role in ROLES {
        for (way, send) in WAYS {
            let full = || {
                let mut connection = open_with(role, |config| config.write_buffer_size = 100);
                // The message that crosses the limit still fits.
                connection.send(&[0; 5000]).unwrap();
                assert!(connection.wants_read(), "own messages do not keep this end from reading");
                connection
            };
            refuses(full(), SendError::BufferFull, way, send);
            let mut connection = full();
            assert_eq!(wire::frames(&written(&mut connection)).unwrap().len(), 1);
            assert_eq!(send(&mut connection), Ok(()), "{way}");
            assert_eq!(sent(&mut connection).len(), 1, "{way}");
        }
    }
}

#[test]
fn the_write_buffer_is_full_at_its_mark_exactly() {
    for (frame, accepted) in [(99, true), (100, false)] {
        let mut server = open_with(Role::Server, |config| config.write_buffer_size = 100);
        server.send(&vec![0; frame - 2][..]).unwrap();
        assert_eq!(server.buffered(), frame);
        assert_eq!(server.send("").is_ok(), accepted);
    }
}

#[test]
fn a_full_write_buffer_does_not_keep_a_connection_from_closing() {
    for role in ROLES {
        let mut connection = open_with(role, |config| config.write_buffer_size = 10);
        connection.send(&[0; 100]).unwrap();
        connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        assert_eq!(sent(&mut connection).last(), Some(&Frame::close(1000, "")));
    }
}

#[test]
fn no_message_is_sent_inside_another() {
    for role in ROLES {
        for (way, send) in &WAYS[..3] {
            let mut connection = open(role);
            connection.send_chunk(Chunk::new("begun")).unwrap();
            refuses(connection, SendError::MessageInProgress, way, send);
        }
        let mut connection = open(role);
        connection.send_chunk(Chunk::new("begun")).unwrap();
        assert_eq!(connection.send("intruder"), Err(SendError::MessageInProgress));
        connection.send_chunk(Chunk::last("ended")).unwrap();
        connection.send("next").unwrap();
        let expected = [Frame::text("begun").unfinished(), Frame::continuation("ended"), Frame::text("next")];
        assert_eq!(sent(&mut connection), expected);
    }
}

#[test]
fn text_and_binary_do_not_mix_in_one_message() {
    for role in ROLES {
        for (first, wrong, right) in
            [(Message::from("t"), Message::from(b"b"), "t"), (Message::from(b"b"), Message::from("t"), "b")]
        {
            let mut connection = open(role);
            connection.send_chunk(Chunk::new(&first)).unwrap();
            for last in [false, true] {
                let chunk = Chunk { payload: wrong.clone(), last };
                assert_eq!(connection.send_chunk(chunk), Err(SendError::WrongKind));
            }
            connection.send_chunk(Chunk::last(&first)).unwrap();
            let frames = sent(&mut connection);
            assert_eq!(frames.len(), 2);
            assert_eq!(frames[1], Frame::continuation(right));
        }
    }
}

#[test]
fn pings_and_pongs_have_at_most_125_bytes() {
    for role in ROLES {
        for len in [126, 127, 70_000] {
            let payload = vec![0; len];
            let error = SendError::ControlPayloadTooLong(len);
            refuses(open(role), error, "ping", |connection| connection.ping(&payload));
            refuses(open(role), error, "pong", |connection| connection.pong(&payload));
        }
        let mut connection = open(role);
        connection.ping(&[1; 125]).unwrap();
        connection.pong(&[2; 125]).unwrap();
        assert_eq!(sent(&mut connection), [Frame::ping([1; 125]), Frame::pong([2; 125])]);
    }
}

#[test]
fn a_close_has_a_legal_code_and_at_most_123_bytes_of_reason() {
    let long = "r".repeat(124);
    // 62 characters of two bytes each: bytes count, not characters.
    let wide = "ü".repeat(62);
    for role in ROLES {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535].map(CloseCode::new) {
            let error = SendError::InvalidCloseCode(code);
            refuses(open(role), error, "close", |connection| connection.close(code, ""));
            refuses(open(role), error, "fail", |connection| connection.fail(code, ""));
            assert_eq!(CloseFrame::new(code, ""), Err(error));
        }
        for reason in [&long, &wide] {
            let error = SendError::CloseReasonTooLong(124);
            let code = CloseCode::NORMAL_CLOSURE;
            refuses(open(role), error, "close", |connection| connection.close(code, reason));
            refuses(open(role), error, "fail", |connection| connection.fail(code, reason));
            assert_eq!(CloseFrame::new(code, reason), Err(error));
        }
        let mut connection = open(role);
        connection.close(CloseCode::NORMAL_CLOSURE, &long[1..]).unwrap();
        assert_eq!(sent(&mut connection), [Frame::close(1000, &long[1..])]);
    }
}

#[test]
fn refused_calls_leave_a_connection_that_works() {
    for role in ROLES {
        let mut connection = open(role);
        assert!(connection.ping(&[0; 126]).is_err());
        assert!(connection.close(CloseCode::NO_STATUS_RECEIVED, "").is_err());
        assert!(connection.fail(CloseCode::new(1), "").is_err());
        assert!(!connection.wants_write());
        connection.send("still open").unwrap();
        assert_eq!(sent(&mut connection), [Frame::text("still open")]);
        assert_eq!(hear(&mut connection, &[Frame::ping("")]).len(), 1);
    }
}

#[test]
fn every_error_says_what_to_do() {
    for (error, sentence) in [
        (
            SendError::Closed,
            "cannot send: the connection is closing or closed, and another message needs a new connection",
        ),
        (
            SendError::BufferFull,
            "cannot send now: the peer reads too slowly, and write_buffer_size is reached; send again when the queued \
             bytes are written",
        ),
        (
            SendError::MessageInProgress,
            "cannot begin a message: another one is being sent in chunks; send its last chunk first, or abort it",
        ),
        (
            SendError::WrongKind,
            "cannot mix text and binary chunks in one message: send all of its chunks as the same kind",
        ),
        (
            SendError::ControlPayloadTooLong(126),
            "cannot send a ping or pong with 126 bytes: the maximum is 125 bytes",
        ),
        (
            SendError::InvalidCloseCode(CloseCode::new(1005)),
            "cannot close with code 1005: use 1000 to 1003, 1007 to 1014 or 3000 to 4999",
        ),
        (
            SendError::CloseReasonTooLong(200),
            "cannot close with a reason of 200 bytes: the maximum is 123 bytes, and CloseFrame::truncate_reason cuts \
             a longer one",
        ),
    ] {
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn no_limit_on_the_write_buffer_is_none() {
    let mut server = open_with(Role::Server, |config: &mut Config| config.write_buffer_size = usize::MAX);
    for _ in 0..100 {
        server.send(vec![0; 100_000]).unwrap();
    }
    assert_eq!(server.buffered(), 100 * 100_010);
    assert!(server.wants_read());
}
