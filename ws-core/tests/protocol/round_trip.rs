//! Messages that one end sends are received by the other.

use std::sync::Arc;

use bytes::Buf;
use proptest::{collection::vec, prelude::*};
use ws_core::{
    Chunk, CloseCode, Config, Connection, Event, Message, PreparedMessage, Role, State, Timestamp,
};

use crate::support::{
    Pair, ROLES, cases, config, connect, drained, events, other, pieces, receive_pieces, strategies, wire,
    written,
};

fn roomy() -> Arc<Config> {
    config(|config| {
        config.write_buffer_size = usize::MAX;
        config.max_message_size = usize::MAX;
        config.max_fragments = usize::MAX;
    })
}

fn arrives(sender: Role, send: impl FnOnce(&mut Connection), expected: &[Event<'_>]) {
    let config = roomy();
    let mut from = connect(sender, &config);
    let mut to = connect(other(sender), &config);
    send(&mut from);
    assert!(events(&mut to, &written(&mut from)) == expected);
    assert!(!to.wants_write());
}

#[test]
fn messages_of_every_length_at_a_border_arrive_in_every_form() {
    for role in ROLES {
        for len in [
            0,
            1,
            2,
            3,
            4,
            5,
            124,
            125,
            126,
            127,
            128,
            511,
            512,
            513,
            4095,
            4096,
            4097,
            65535,
            65536,
            65537,
            1 << 20,
        ] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 31 + i / 256) as u8).collect();
            let text: String = bytes.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
            let binary = [Event::Message(Message::from(&bytes))];
            let textual = [Event::Message(Message::from(&text))];
            arrives(role, |connection| connection.send(&bytes).unwrap(), &binary);
            arrives(role, |connection| connection.send(bytes.clone()).unwrap(), &binary);
            arrives(role, |connection| connection.send(&text).unwrap(), &textual);
            arrives(role, |connection| connection.send(text.clone()).unwrap(), &textual);
            let prepared = [PreparedMessage::new(&bytes), PreparedMessage::new(&text)];
            assert_eq!((prepared[0].len(), prepared[0].is_empty()), (len, len == 0));
            arrives(role, |connection| connection.send_prepared(&prepared[0]).unwrap(), &binary);
            arrives(role, |connection| connection.send_prepared(&prepared[1]).unwrap(), &textual);
        }
    }
}

#[test]
fn control_frames_of_every_length_arrive() {
    for role in ROLES {
        for len in 0..=125 {
            let payload = vec![0xA5; len];
            let config = roomy();
            let mut from = connect(role, &config);
            let mut to = connect(other(role), &config);
            from.ping(&payload).unwrap();
            from.pong(&payload).unwrap();
            let received = events(&mut to, &written(&mut from));
            assert_eq!(received, [Event::Ping((&payload[..]).into()), Event::Pong((&payload[..]).into())]);
            assert_eq!(events(&mut from, &written(&mut to)), [Event::Pong((&payload[..]).into())]);
        }
    }
}

#[test]
fn a_prepared_message_goes_to_any_number_of_connections() {
    let news = PreparedMessage::new("x".repeat(10_000));
    let expected = [Event::Message(Message::from("x".repeat(10_000)))];
    for role in ROLES {
        for _ in 0..3 {
            let mut from = connect(role, &roomy());
            from.send_prepared(&news).unwrap();
            from.send_prepared(&news.clone()).unwrap();
            let received = events(&mut connect(other(role), &roomy()), &written(&mut from));
            assert_eq!(received, [expected[0].clone(), expected[0].clone()]);
        }
    }
}

#[test]
fn a_received_message_can_be_sent_back_from_the_input() {
    for role in ROLES {
        let config = roomy();
        let mut echo = connect(role, &config);
        let mut peer = connect(other(role), &config);
        peer.send("one").unwrap();
        peer.send(b"two").unwrap();
        let mut bytes = written(&mut peer);
        let mut input = &mut bytes[..];
        while let Some(event) = echo.receive(&mut input).unwrap() {
            let Event::Message(message) = event else { panic!("{event:?}") };
            echo.send(message).unwrap();
        }
        let received = events(&mut peer, &written(&mut echo));
        assert_eq!(received, [Event::Message(Message::from("one")), Event::Message(Message::from(b"two"))]);
    }
}

/// A message and the way in which it is sent.
#[derive(Clone, Debug)]
enum Sending {
    Whole(Message<'static>),
    Prepared(Message<'static>),
    /// In chunks of these sizes, and with this number of pings between them.
    Chunks(Message<'static>, Vec<usize>, usize),
}

fn sending() -> impl Strategy<Value = Sending> {
    let message = || {
        prop_oneof![
            strategies::payload().prop_map(Message::from),
            strategies::any_text().prop_map(Message::from),
        ]
    };
    prop_oneof![
        message().prop_map(Sending::Whole),
        message().prop_map(Sending::Prepared),
        (message(), strategies::cuts(), 0..3_usize)
            .prop_map(|(message, sizes, pings)| Sending::Chunks(message, sizes, pings)),
    ]
}

/// Returns the chunks of a message. Text is split between characters.
fn chunks<'m>(message: &'m Message<'_>, sizes: &[usize]) -> Vec<Message<'m>> {
    match message {
        Message::Binary(bytes) => pieces(bytes, sizes).into_iter().map(Message::from).collect(),
        Message::Text(text) => {
            let mut ends = pieces(text.as_bytes(), sizes).into_iter().scan(0, |end, piece| {
                *end += piece.len();
                Some(*end)
            });
            let mut start = 0;
            let mut chunks = Vec::new();
            while start < text.len() {
                let end = ends.find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
                chunks.push(Message::from(&text[start..end]));
                start = end;
            }
            chunks
        }
    }
}

/// Sends the message, and returns the message that has to arrive.
fn apply(connection: &mut Connection, sending: &Sending) -> Message<'static> {
    match sending {
        Sending::Whole(message) => {
            connection.send(message).unwrap();
            message.clone()
        }
        Sending::Prepared(message) => {
            connection.send_prepared(&PreparedMessage::new(message)).unwrap();
            message.clone()
        }
        Sending::Chunks(message, sizes, pings) => {
            for chunk in chunks(message, sizes) {
                connection.send_chunk(Chunk::new(chunk)).unwrap();
                (0..*pings).for_each(|_| connection.ping(b"between").unwrap());
            }
            let empty = if message.is_text() { Message::from("") } else { Message::from(b"") };
            connection.send_chunk(Chunk::last(empty)).unwrap();
            message.clone()
        }
    }
}

proptest! {
    #![proptest_config(cases(150))]

    // Invariant: all messages arrive, in order and unchanged, regardless of how they are sent, masked and split.
    #[test]
    fn messages_arrive_however_they_are_sent_and_cut(
        sender in strategies::role(),
        seed: [u8; 32],
        sendings in vec(sending(), 1..6),
        sizes in strategies::cuts(),
    ) {
        let config = roomy();
        let mut from = match sender {
            Role::Client => Connection::client(config.clone(), seed, Timestamp::ZERO),
            Role::Server => Connection::server(config.clone(), Timestamp::ZERO),
        };
        let mut to = connect(other(sender), &config);
        let expected: Vec<_> = sendings.iter().map(|sending| apply(&mut from, sending)).collect();
        let received = receive_pieces(&mut to, &written(&mut from), &sizes);
        prop_assert_eq!(received.error, None);
        let messages: Vec<_> =
            received.events.into_iter().filter(|event| matches!(event, Event::Message(_))).collect();
        prop_assert_eq!(messages, expected.into_iter().map(Event::Message).collect::<Vec<_>>());
    }

    // Invariant: the same seed, calls and times produce the same bytes.
    #[test]
    fn a_connection_is_determined_by_its_seed_its_inputs_and_its_times(
        (role, stream) in strategies::role_and_stream(),
        seed: [u8; 32],
        sendings in vec(sending(), 0..4),
        seconds in vec(0..30_u64, 0..6),
    ) {
        let config = roomy();
        let run = || {
            let mut connection = match role {
                Role::Client => Connection::client(config.clone(), seed, Timestamp::ZERO),
                Role::Server => Connection::server(config.clone(), Timestamp::ZERO),
            };
            let (first, second) = stream.split_at(stream.len() / 2);
            let mut shown = format!("{:?}", receive_pieces(&mut connection, first, &[7]));
            for sending in &sendings {
                if connection.state() == State::Open {
                    apply(&mut connection, sending);
                }
            }
            for second in &seconds {
                connection.handle_timeout(Timestamp::from(crate::support::secs(*second)));
            }
            shown += &format!("{:?}", receive_pieces(&mut connection, second, &[5]));
            let _ = connection.close(CloseCode::GOING_AWAY, "bye");
            (shown, connection.close_info(), drained(&mut connection.transmit()))
        };
        prop_assert!(run() == run());
    }

    // Invariant: two different seeds produce different keys, and no other difference.
    #[test]
    fn the_seed_decides_the_keys_and_nothing_else(seeds: [[u8; 32]; 2], sendings in vec(sending(), 1..4)) {
        prop_assume!(seeds[0] != seeds[1]);
        let [first, second] = seeds.map(|seed| {
            let mut client = Connection::client(roomy(), seed, Timestamp::ZERO);
            sendings.iter().for_each(|sending| drop(apply(&mut client, sending)));
            wire::frames(&written(&mut client)).unwrap()
        });
        prop_assert_eq!(first.len(), second.len());
        for (mut a, mut b) in first.into_iter().zip(second) {
            let (a_key, b_key) = (a.key.take(), b.key.take());
            prop_assert!(a_key.is_some() && b_key.is_some());
            // They are equal once in 2^32 cases.
            prop_assert_ne!(a_key, b_key);
            prop_assert_eq!(a, b);
        }
    }
}

#[test]
fn a_conversation_ends_cleanly_at_both_ends_whoever_closes() {
    for role in ROLES {
        let mut pair = Pair::open(config(|_| {}));
        pair.end(role).connection.send("hello").unwrap();
        pair.end(role).connection.close(CloseCode::NORMAL_CLOSURE, "bye").unwrap();
        pair.run_until_idle();
        for end in ROLES {
            let connection = &pair.end(end).connection;
            assert!(connection.is_finished());
            assert!(connection.close_info().unwrap().was_clean);
        }
        assert_eq!(pair.end(other(role)).events()[0], Event::Message(Message::from("hello")));
        assert_eq!(pair.next_timeout(), None, "nobody waits for anything");
    }
}

#[test]
fn empty_writes_are_harmless() {
    for role in ROLES {
        let mut connection = connect(role, &config(|_| {}));
        assert!(!connection.transmit().has_remaining());
        connection.transmit().advance(0);
        assert_eq!(connection.transmit().chunk(), b"");
        connection.shrink_to_fit();
        assert_eq!(connection.buffered(), 0);
    }
}
