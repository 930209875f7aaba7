//! Messages larger than `max_sent_frame_size`: they leave as several frames and arrive as the same message.

use std::sync::Arc;

use proptest::prelude::*;
use ws_core::{
    Chunk, Config, Connection, Event, Message, PreparedMessage, Role, Transmit,
    testing::{connect, drained, reference, wire::split_frame},
};

use crate::support::{
    ROLES, cases, hear, open_with, sent, strategies, text,
    wire::{self, CONTINUATION, Frame, PING, PONG, TEXT},
    written,
};

/// All ways to queue a message, by number.
const WAYS: usize = 9;

fn open(role: Role, limit: usize) -> Connection {
    open_with(role, |config| {
        config.max_sent_frame_size = limit;
        config.write_buffer_size = usize::MAX;
        config.keepalive = None;
    })
}

/// Queues a message, and returns its bytes on the wire.
fn bytes_by(way: usize, connection: &mut Connection, message: &Message<'_>) -> Vec<u8> {
    let prepared = PreparedMessage::new(message.clone());
    match way {
        0 => connection.send(message.clone()).unwrap(),
        1 => connection.send(message.clone().into_owned()).unwrap(),
        2 => connection.reply(message.clone()).unwrap(),
        3 => connection.send_prepared(&prepared).unwrap(),
        4 => connection.reply_prepared(&prepared).unwrap(),
        5 => connection.send_chunk(Chunk::last(message.clone())).unwrap(),
        6 => match connection.take_prepared(&prepared) {
            Some(frame) => {
                connection.written(frame.len());
                return frame.to_vec();
            }
            None => connection.send_prepared(&prepared).unwrap(),
        },
        7 => match connection.frame_header(message) {
            Some(header) => {
                let bytes = [&header, message.as_bytes()].concat();
                connection.sent_directly(message.clone(), bytes.len()).unwrap();
                return bytes;
            }
            None => connection.send(message.clone()).unwrap(),
        },
        _ => {
            connection.send(message.clone()).unwrap();
            let mut taken = Transmit::default();
            connection.take_transmit(&mut taken);
            let bytes = drained(&mut taken);
            connection.written(bytes.len());
            return bytes;
        }
    }
    let buffered = connection.buffered();
    let bytes = written(connection);
    assert_eq!(bytes.len(), buffered, "all bytes are counted");
    bytes
}

/// Asserts that these bytes are one message in frames of the largest legal sizes, and that the naive reference receives
/// it.
fn assert_frames(bytes: &[u8], role: Role, limit: usize, message: &Message<'_>) {
    let mut sizes = Vec::new();
    let mut rest = bytes;
    while let Some((frame, behind)) = split_frame(rest) {
        assert_eq!(frame.fin, behind.is_empty(), "FIN is in the last frame only");
        assert_eq!(frame.opcode == CONTINUATION, !sizes.is_empty());
        assert_eq!((frame.rsv, frame.key.is_some()), (0, role == Role::Client));
        sizes.push(frame.payload.len());
        rest = behind;
    }
    assert!(rest.is_empty());
    let last = sizes.pop().unwrap();
    assert!(sizes.iter().all(|size| *size == limit), "{sizes:?}");
    assert!(last <= limit && (last > 0 || message.is_empty()));
    let receiver = if role == Role::Client { Role::Server } else { Role::Client };
    let mut limits = Config::default();
    (limits.max_message_size, limits.max_fragments) = (usize::MAX, usize::MAX);
    let received = reference::decode(bytes, receiver, &limits);
    assert_eq!(received, (vec![Event::Message(message.clone().into_owned())], None));
}

proptest! {
    #![proptest_config(cases(500))]

    // Invariant: any message with any limit and by any way to send arrives whole, in frames of the right sizes.
    #[test]
    fn any_message_with_any_limit_arrives_whole(
        role in strategies::role(),
        messages in prop::collection::vec((strategies::message(), 0..WAYS), 1..4),
        limit in prop_oneof![1..20_usize, 100..10_000_usize, Just(usize::MAX)],
    ) {
        let mut connection = open(role, limit);
        for (message, way) in messages {
            let bytes = bytes_by(way, &mut connection, &message);
            assert_frames(&bytes, role, limit, &message);
        }
    }
}

#[test]
fn by_default_each_message_is_one_frame() {
    assert_eq!(Config::default().max_sent_frame_size, usize::MAX);
    for role in ROLES {
        for way in 0..WAYS {
            let mut connection = connect(role, Arc::new(Config::default()));
            let message = Message::from(vec![7; 70_000]);
            assert_eq!(wire::frames(&bytes_by(way, &mut connection, &message)).unwrap().len(), 1);
        }
    }
}

#[test]
fn a_limit_of_zero_counts_as_one() {
    for role in ROLES {
        let bytes = bytes_by(0, &mut open(role, 0), &Message::from("abc"));
        assert_frames(&bytes, role, 1, &Message::from("abc"));
    }
}

#[test]
fn a_message_of_the_limit_is_one_frame_and_one_more_byte_makes_two() {
    for role in ROLES {
        for limit in [1, 125, 126, 5000, 70_000] {
            for way in 0..WAYS {
                let mut connection = open(role, limit);
                let frames = |bytes: Vec<u8>| wire::frames(&bytes).unwrap().len();
                assert_eq!(frames(bytes_by(way, &mut connection, &vec![1; limit].into())), 1);
                assert_eq!(frames(bytes_by(way, &mut connection, &vec![1; limit + 1].into())), 2);
            }
        }
    }
}

#[test]
fn a_cut_may_fall_inside_a_code_point() {
    for role in ROLES {
        let mut connection = open(role, 1);
        connection.send("ü").unwrap();
        let key = sent(&mut connection).iter().map(|frame| frame.payload.clone()).collect::<Vec<_>>();
        assert_eq!(key, [[0xC3], [0xBC]]);
        let mut peer = open(if role == Role::Client { Role::Server } else { Role::Client }, 1);
        connection.send("ü").unwrap();
        assert_eq!(hear(&mut peer, &sent(&mut connection)), [text("ü")]);
    }
}

#[test]
fn control_frames_go_between_the_frames_of_a_message_in_chunks() {
    for role in ROLES {
        let mut connection = open(role, 4);
        connection.send_chunk(Chunk::new("begun ")).unwrap();
        connection.ping(b"ours").unwrap();
        hear(&mut connection, &[Frame::ping("theirs")]);
        connection.send_chunk(Chunk::last("ended")).unwrap();
        let frames = sent(&mut connection);
        let shown: Vec<_> =
            frames.iter().map(|frame| (frame.opcode, frame.fin, &frame.payload[..])).collect();
        let expected: [(u8, bool, &[u8]); 6] = [
            (TEXT, false, b"begu"),
            (CONTINUATION, false, b"n "),
            (PING, true, b"ours"),
            (PONG, true, b"theirs"),
            (CONTINUATION, false, b"ende"),
            (CONTINUATION, true, b"d"),
        ];
        assert_eq!(shown, expected);
    }
}

#[test]
fn control_frames_are_never_split() {
    for role in ROLES {
        let mut connection = open(role, 2);
        connection.ping(&[1; 125]).unwrap();
        hear(&mut connection, &[Frame::ping(vec![2; 125])]);
        connection.close(ws_core::CloseCode::NORMAL_CLOSURE, "a long reason").unwrap();
        let frames = sent(&mut connection);
        assert_eq!(frames.len(), 3);
        assert!(frames.iter().all(|frame| frame.fin));
    }
}

#[test]
fn replies_in_many_frames_pause_receiving_by_all_of_their_bytes() {
    for role in ROLES {
        let mut connection = open_with(role, |config| {
            config.max_sent_frame_size = 1;
            config.write_buffer_size = 250;
        });
        // 100 bytes in 100 frames are at least 300 bytes on the wire.
        hear(&mut connection, &[Frame::text("question")]);
        connection.reply(&[0; 100]).unwrap();
        assert!(!connection.wants_read());
        written(&mut connection);
        assert!(connection.wants_read());
    }
}
