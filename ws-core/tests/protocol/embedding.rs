//! Methods for drivers that bypass the queue of a connection: frames that are written from the application's memory,
//! and borrowed memory.

use bytes::{Buf, Bytes};
use proptest::prelude::*;
use ws_core::{Chunk, CloseCode, Connection, Message, PreparedMessage, Role, Transmit};

use crate::support::{cases, open, written};

/// Returns the bytes that `send` would queue.
fn queued(message: &Message<'_>) -> Vec<u8> {
    let mut connection = open(Role::Server);
    connection.send(message.as_borrowed()).unwrap();
    written(&mut connection)
}

/// Returns connections that cannot let a driver write a message ahead of their own output.
fn busy() -> Vec<(&'static str, Connection)> {
    let made = |prepare: fn(&mut Connection)| {
        let mut connection = open(Role::Server);
        prepare(&mut connection);
        connection
    };
    vec![
        ("a client masks", open(Role::Client)),
        ("a message waits", made(|connection| connection.send("first").unwrap())),
        ("a ping waits", made(|connection| connection.ping(b"").unwrap())),
        (
            "a message is in progress",
            made(|connection| {
                connection.send_chunk(Chunk::new("first")).unwrap();
                written(connection);
            }),
        ),
        (
            "it is closing",
            made(|connection| {
                connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
                written(connection);
            }),
        ),
        ("the stream has ended", made(Connection::receive_eof)),
    ]
}

#[test]
fn a_header_and_its_payload_are_the_frame_that_would_be_queued() {
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        for message in [Message::from(vec![7; size]), Message::from("x".repeat(size))] {
            let connection = open(Role::Server);
            let header = connection.frame_header(&message).expect("nothing waits");
            assert!([&header, message.as_bytes()].concat() == queued(&message), "{size} bytes");
        }
    }
}

#[test]
fn nothing_is_written_ahead_of_what_waits_or_against_the_rules() {
    for (why, mut connection) in busy() {
        assert!(connection.frame_header(&Message::from("m")).is_none(), "{why}");
        assert!(connection.take_prepared(&PreparedMessage::new("m")).is_none(), "{why}");
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn what_a_driver_could_not_write_follows(size in 0..2000_usize, cut in 0.0..1.0_f64, prepared: bool) {
        let message = Message::from((0..size).map(|at| at as u8).collect::<Vec<_>>());
        let frame = queued(&message);
        let mut connection = open(Role::Server);
        let at = (frame.len() as f64 * cut) as usize;
        let rest = if prepared {
            let taken = connection.take_prepared(&PreparedMessage::new(message)).unwrap();
            prop_assert_eq!(&taken[..], &frame[..]);
            connection.written(at);
            prop_assert_eq!(connection.buffered(), frame.len() - at, "the driver keeps the rest");
            taken.slice(at..)
        } else {
            prop_assert!(connection.frame_header(&message).is_some());
            connection.sent_directly(message, at).unwrap();
            Bytes::new()
        };
        prop_assert_eq!(connection.total_written(), at as u64);
        connection.send("next").unwrap();
        let queued_then = written(&mut connection);
        connection.written(rest.len());
        prop_assert_eq!([&rest[..], &queued_then].concat(), [&frame[at..], &queued(&Message::from("next"))].concat());
        prop_assert_eq!((connection.buffered(), connection.total_written()), (0, connection.total_queued()));
    }
}

#[test]
fn memory_in_use_is_neither_lent_nor_taken_back() {
    let mut connection = open(Role::Server);
    let mut spare = Transmit::default();
    connection.send("first").unwrap();
    connection.lend_transmit(&mut spare);
    connection.reclaim_transmit(&mut spare);
    assert!(!spare.has_remaining());
    assert_eq!(written(&mut connection), queued(&Message::from("first")));

    let mut other = open(Role::Server);
    other.send("other").unwrap();
    other.take_transmit(&mut spare);
    connection.lend_transmit(&mut spare);
    assert!(!connection.wants_write(), "what waits elsewhere is not sent to this peer");
    assert_eq!(spare.remaining(), queued(&Message::from("other")).len());
}
