//! Large messages that are read directly into the memory where they are assembled.

use proptest::prelude::*;
use ws_core::{CloseCode, Connection, Delivery, Event, Message, Role};

use crate::support::{
    ROLES, cases, hear, open, open_with,
    wire::{self, Frame},
};

/// Result of reading a stream.
#[derive(Debug, Default)]
struct Received {
    events: Vec<Event<'static>>,
    /// Number of bytes that were read in place.
    in_place: usize,
}

/// Reads a stream like a driver that reads in place if possible, at most `most` bytes at a time.
fn read(connection: &mut Connection, mut stream: &[u8], most: usize) -> Received {
    let mut received = Received::default();
    while !stream.is_empty() {
        let proven = received.events.iter().map(size).max().unwrap_or(0);
        let in_place = connection.receive_in_place(|payload| {
            let len = most.min(stream.len()).min(payload.capacity() - payload.len());
            assert!(len > 0, "there is room");
            let memory = payload.capacity();
            assert!(memory <= (2 * payload.len()).max(proven), "{memory} bytes follow those that came");
            payload.extend_from_slice(&stream[..len]);
            len
        });
        received.in_place += in_place.unwrap_or(0);
        let (read, rest) = stream.split_at(in_place.unwrap_or_else(|| most.min(stream.len())));
        stream = rest;
        let mut buffer = if in_place.is_some() { Vec::new() } else { read.to_vec() };
        let mut input = &mut buffer[..];
        while let Some(event) = connection.receive(&mut input).unwrap() {
            received.events.push(event.into_owned());
        }
    }
    received
}

/// Returns the payload size of a message in bytes.
fn size(event: &Event<'_>) -> usize {
    if let Event::Message(message) = event { message.len() } else { 0 }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Creates a message in one or two frames, optionally with a ping between them.
fn message() -> impl Strategy<Value = Vec<Frame>> {
    let len = prop_oneof![0..200_usize, 60_000..70_000_usize, 200_000..400_000_usize];
    (len, 0.0..1.0_f64, 0..4_u8).prop_map(|(len, cut, kind)| {
        let payload = if kind == 0 { vec![b'x'; len] } else { bytes(len) };
        let (first, second) = payload.split_at((len as f64 * cut) as usize);
        match kind {
            0 => vec![Frame::text(payload)],
            1 => vec![Frame::binary(payload)],
            2 => vec![Frame::binary(first).unfinished(), Frame::continuation(second)],
            _ => vec![Frame::binary(first).unfinished(), Frame::ping("between"), Frame::continuation(second)],
        }
    })
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn what_is_read_in_place_is_received_as_if_it_had_been_given(
        messages in prop::collection::vec(message(), 1..6),
        most in prop_oneof![1000..5000_usize, 10_000..500_000_usize],
    ) {
        let frames = messages.concat();
        for role in ROLES {
            let given = hear(&mut open(role), &frames);
            let received = read(&mut open(role), &wire::stream(role, &frames), most);
            prop_assert!(received.events == given);
        }
    }
}

#[test]
fn most_of_a_large_binary_message_is_read_in_place() {
    for role in ROLES {
        let stream = wire::stream(role, &[Frame::binary(bytes(1 << 20)), Frame::text("next")]);
        let received = read(&mut open(role), &stream, 96 << 10);
        assert!(received.in_place >= (1 << 20) - (128 << 10), "{} bytes", received.in_place);
        assert_eq!(received.events[1], Event::Message(Message::from("next")));
    }
}

/// Returns a server that has received a binary message of this length in pieces.
fn proven(len: usize) -> Connection {
    let mut connection = open(Role::Server);
    let mut stream = Frame::binary(bytes(len)).encode_for(Role::Server);
    let (first, rest) = stream.split_at_mut(1000);
    assert_eq!(connection.receive(&mut &mut *first), Ok(None));
    assert!(connection.receive(&mut &mut *rest).unwrap().is_some());
    connection
}

/// Returns the memory that is allocated for the payload of a binary message that announces this number of bytes.
fn room_for(connection: &mut Connection, claimed: u64) -> Option<usize> {
    let mut header = [&[0x82, 0xFF][..], &claimed.to_be_bytes(), &[0; 4]].concat();
    assert_eq!(connection.receive(&mut &mut header[..]), Ok(None));
    connection.receive_in_place(|payload| payload.capacity())
}

#[test]
fn a_message_no_larger_than_the_last_is_read_in_place_from_its_first_byte() {
    assert_eq!(room_for(&mut proven(100_000), 100_000), Some(100_000));
    assert_eq!(room_for(&mut proven(100_000), 70_000), Some(70_000));
}

#[test]
fn a_claim_gets_no_more_memory_than_its_peer_has_filled_before() {
    assert_eq!(room_for(&mut open(Role::Server), 1_000_000), None);
    assert_eq!(room_for(&mut proven(60_000), 1_000_000), None);
    assert_eq!(room_for(&mut proven(100_000), 1_000_000), Some(100_000));
}

#[test]
fn small_messages_take_back_the_memory_that_a_large_one_has_earned() {
    const LARGE: usize = 1 << 20;
    let small: [&[Frame]; 3] = [
        &[Frame::text("small")],
        &[Frame::ping("p"), Frame::binary([7; 100])],
        &[Frame::text("sma").unfinished(), Frame::continuation("ll")],
    ];
    for small in small {
        for count in 1..6 {
            let mut connection = proven(LARGE);
            for _ in 0..count {
                hear(&mut connection, small);
            }
            let room = room_for(&mut connection, LARGE as u64).unwrap_or(0);
            assert!(room <= LARGE >> count, "{room} bytes after {count} times {small:?}");
        }
    }
    let mut connection = proven(LARGE);
    hear(&mut connection, &[Frame::ping("p"), Frame::pong("q")]);
    assert_eq!(room_for(&mut connection, LARGE as u64), Some(LARGE), "a control frame is no message");
}

#[test]
fn a_whole_message_of_the_same_size_leaves_the_memory_to_the_next() {
    const LARGE: usize = 1 << 20;
    let mut connection = proven(LARGE);
    let mut expected = proven(LARGE);
    for _ in 0..10 {
        let mut whole = Frame::binary(bytes(LARGE)).encode_for(Role::Server);
        assert!(matches!(connection.receive(&mut &mut whole[..]), Ok(Some(Event::Message(_)))));
    }
    assert_eq!(room_for(&mut connection, LARGE as u64), room_for(&mut expected, LARGE as u64));
}

#[test]
fn memory_that_a_large_message_has_earned_ends_with_shrink_to_fit_and_keepalive() {
    const LARGE: usize = 1 << 20;
    let mut connection = proven(LARGE);
    connection.shrink_to_fit();
    assert_eq!(room_for(&mut connection, LARGE as u64), None);
    let mut connection = proven(LARGE);
    connection.handle_timeout(connection.poll_timeout().unwrap());
    assert!(connection.wants_write(), "a ping");
    assert_eq!(room_for(&mut connection, LARGE as u64), None);
}

#[test]
fn nothing_else_is_read_in_place() {
    let large = || bytes(1 << 20);
    for (why, mut connection, stream) in [
        ("small", open(Role::Server), Frame::binary(bytes(60_000)).encode_for(Role::Server)),
        ("text", open(Role::Server), Frame::text(vec![b'x'; 1 << 20]).encode_for(Role::Server)),
        (
            "in chunks",
            open_with(Role::Server, |config| config.delivery = Delivery::Chunks),
            Frame::binary(large()).encode_for(Role::Server),
        ),
    ] {
        assert_eq!(read(&mut connection, &stream, 64 << 10).in_place, 0, "{why}");
    }
}

/// Returns a server that has received the first 100,000 bytes of a binary message of 1 MiB.
fn begun() -> (Connection, Vec<u8>) {
    let mut connection = open(Role::Server);
    let mut stream = Frame::binary(bytes(1 << 20)).encode_for(Role::Server);
    let rest = stream.split_off(100_000);
    assert_eq!(connection.receive(&mut &mut stream[..]), Ok(None));
    (connection, rest)
}

#[test]
fn a_connection_that_has_failed_reads_nothing() {
    let (mut connection, _) = begun();
    connection.fail(CloseCode::POLICY_VIOLATION, "enough").unwrap();
    assert_eq!(connection.receive_in_place(|_| ()), None);
    let (mut connection, _) = begun();
    connection.receive_eof();
    assert_eq!(connection.receive_in_place(|_| ()), None);
}

#[test]
fn a_read_that_finds_nothing_changes_nothing() {
    let (mut connection, rest) = begun();
    for _ in 0..3 {
        assert_eq!(connection.receive_in_place(|_| "nothing"), Some("nothing"));
        assert_eq!(connection.receive(&mut &mut [][..]), Ok(None));
    }
    let received = read(&mut connection, &rest, usize::MAX);
    assert!(received.events == [Event::Message(Message::from(bytes(1 << 20)))]);
}

#[test]
fn a_driver_that_misuses_the_buffer_spoils_only_its_own_message() {
    let next = Frame::text("next").encode_for(Role::Server);
    let spoils: [fn(&mut Vec<u8>); 3] =
        [|payload| payload.resize(3 << 20, 7), Vec::clear, |payload| payload.truncate(9)];
    for spoil in spoils {
        let (mut connection, rest) = begun();
        assert_eq!(connection.receive_in_place(spoil), Some(()));
        let came = match connection.receive(&mut &mut [][..]).unwrap() {
            Some(_) => next.clone(),
            None => [&rest[..], &next].concat(),
        };
        let events = read(&mut connection, &came, usize::MAX).events;
        assert_eq!(events.last(), Some(&Event::Message(Message::from("next"))));
    }
}
