//! The boundaries at which the network splits the bytes have no meaning, in either direction.

use std::sync::Arc;

use bytes::Buf;
use proptest::{collection::vec, prelude::*};
use ws_core::{
    Chunk, CloseInfo, Config, Connection, Delivery, Event, Message, PreparedMessage, ProtocolError, Role,
    Transmit,
};

use crate::support::{
    assembled, cases, connect, drained, open, open_with, receive, receive_pieces, strategies,
    wire::{self, Frame},
    written,
};

/// Returns all observable results of a connection that received a stream in pieces of these sizes.
fn seen(
    role: Role,
    config: &Config,
    stream: &[u8],
    sizes: &[usize],
) -> (Vec<Event<'static>>, Option<ProtocolError>, Option<CloseInfo>, Vec<u8>) {
    let mut connection = connect(role, &Arc::new(config.clone()));
    let received = receive_pieces(&mut connection, stream, sizes);
    (received.events, received.error, connection.close_info(), written(&mut connection))
}

proptest! {
    #![proptest_config(cases(600))]

    // Invariant: events, error, close information and output do not depend on how the input is split.
    #[test]
    fn any_cutting_of_the_input_shows_the_same(
        (role, stream) in strategies::role_and_stream(),
        limits in strategies::limits(),
        sizes in strategies::cuts(),
    ) {
        let whole = seen(role, &limits, &stream, &[usize::MAX]);
        prop_assert_eq!(&seen(role, &limits, &stream, &sizes), &whole);
        prop_assert_eq!(&seen(role, &limits, &stream, &[1]), &whole);
    }

    // Invariant: the chunks of a message are its content, end with exactly one last chunk, and do not mix with those
    // of other messages.
    #[test]
    fn chunks_put_together_are_the_messages(
        (role, stream) in strategies::role_and_stream(),
        mut limits in strategies::limits(),
        sizes in strategies::cuts(),
    ) {
        // The number of fragments is limited only if messages are assembled.
        limits.max_fragments = usize::MAX;
        let (events, error, close_info, output) = seen(role, &limits, &stream, &[usize::MAX]);
        limits.delivery = Delivery::Chunks;
        for sizes in [&sizes[..], &[1], &[usize::MAX]] {
            let chunked = seen(role, &limits, &stream, sizes);
            prop_assert_eq!(&assembled(chunked.0), &events);
            prop_assert_eq!((&chunked.1, &chunked.2, &chunked.3), (&error, &close_info, &output));
        }
    }

    // Invariant: bytes of a frame that remain in a piece do not depend on the pieces before it.
    #[test]
    fn a_cut_in_two_at_any_place_shows_the_same(
        role in strategies::role(),
        cut in any::<prop::sample::Index>(),
        frames in strategies::legal_frames(),
    ) {
        let stream = wire::stream(role, &frames);
        let cut = cut.index(stream.len() + 1);
        let whole = seen(role, &Config::default(), &stream, &[usize::MAX]);
        prop_assert_eq!(seen(role, &Config::default(), &stream, &[cut, usize::MAX]), whole);
    }
}

#[test]
fn a_message_whole_in_the_input_is_lent_and_a_cut_one_is_owned() {
    use std::borrow::Cow;
    let stream = wire::stream(Role::Server, &[Frame::text("lent"), Frame::binary(*b"cut")]);
    let (first, second) = stream.split_at(stream.len() - 1);
    let (mut first, mut second) = (first.to_vec(), second.to_vec());
    let mut server = open(Role::Server);

    let mut input = &mut first[..];
    let event = server.receive(&mut input).unwrap();
    assert!(matches!(event, Some(Event::Message(Message::Text(Cow::Borrowed("lent"))))));
    assert_eq!(server.receive(&mut input), Ok(None));
    let mut input = &mut second[..];
    let event = server.receive(&mut input).unwrap();
    assert!(matches!(event, Some(Event::Message(Message::Binary(Cow::Owned(bytes)))) if bytes == b"cut"));
}

#[test]
fn a_chunk_of_text_never_cuts_a_character_and_comes_as_soon_as_it_can() {
    let mut server = open_with(Role::Server, |config| config.delivery = Delivery::Chunks);
    let stream = wire::stream(Role::Server, &[Frame::text("aü\u{10FFFF}")]);
    let header = stream.len() - 7;
    let mut chunks = Vec::new();
    for byte in &stream[header..] {
        if chunks.is_empty() {
            assert_eq!(receive(&mut server, &stream[..header]).events, []);
            chunks.push(None);
        }
        let events = receive(&mut server, &[*byte]).events;
        assert!(events.len() <= 1);
        chunks.push(events.into_iter().next());
    }
    let more = |text: &str| Some(Event::Chunk(Chunk::new(text.to_owned())));
    let last = Some(Event::Chunk(Chunk::last("\u{10FFFF}")));
    assert_eq!(chunks, [None, more("a"), None, more("ü"), None, None, None, last]);
}

#[test]
fn an_empty_message_is_one_empty_last_chunk() {
    for frames in [vec![Frame::text("")], vec![Frame::text("").unfinished(), Frame::continuation("")]] {
        let mut client = open_with(Role::Client, |config| config.delivery = Delivery::Chunks);
        let received = receive(&mut client, &wire::stream(Role::Client, &frames));
        assert_eq!(received.events, [Event::Chunk(Chunk::last(""))]);
    }
}

/// An action that sends. The sizes are around the limits from which payloads are queued by reference.
#[derive(Clone, Debug)]
enum Sending {
    Owned(usize),
    Borrowed(usize),
    Prepared(usize),
    Text(String),
    Chunk(usize, bool),
    Ping(usize),
}

impl Sending {
    fn apply(&self, connection: &mut Connection, number: usize) {
        // Each payload is unique, so that a mix-up is detected.
        let bytes = |len: usize| (0..len).map(|i| (i * 31 + number * 7) as u8).collect::<Vec<u8>>();
        // Between chunks, whole messages are refused. That is the same in all compared runs.
        let _ = match self {
            Self::Owned(len) => connection.send(bytes(*len)),
            Self::Borrowed(len) => connection.send(bytes(*len).as_slice()),
            Self::Prepared(len) => connection.send_prepared(&PreparedMessage::new(bytes(*len))),
            Self::Text(text) => connection.send(text),
            Self::Chunk(len, last) => {
                connection.send_chunk(Chunk { payload: Message::from(bytes(*len)), last: *last })
            }
            Self::Ping(len) => connection.ping(&bytes(*len)),
        };
    }
}

fn sending() -> impl Strategy<Value = Sending> {
    let border = || prop_oneof![2 => 500..530_usize, 2 => 4000..4200_usize, 1 => 65_000..66_000_usize];
    let len = || prop_oneof![0..200_usize, border()];
    prop_oneof![
        3 => len().prop_map(Sending::Owned),
        2 => len().prop_map(Sending::Borrowed),
        3 => len().prop_map(Sending::Prepared),
        1 => strategies::any_text().prop_map(Sending::Text),
        2 => (len(), prop::bool::weighted(0.7)).prop_map(|(len, last)| Sending::Chunk(len, last)),
        1 => (0..126_usize).prop_map(Sending::Ping),
    ]
}

/// Writes at most `most` bytes of the slices that a vectored write receives.
#[cfg(feature = "std")]
fn write_vectored(connection: &mut Connection, slots: usize, most: usize) -> Vec<u8> {
    let mut buffer = connection.transmit();
    let mut slices = vec![std::io::IoSlice::new(&[]); slots];
    let filled = buffer.chunks_vectored(&mut slices);
    assert!(filled <= slots && slices[..filled].iter().all(|slice| !slice.is_empty()));
    assert_eq!(filled == 0, !buffer.has_remaining());
    let mut bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
    bytes.truncate(most);
    buffer.advance(bytes.len());
    bytes
}

/// Without `std` there are no vectored writes.
#[cfg(not(feature = "std"))]
fn write_vectored(connection: &mut Connection, _slots: usize, most: usize) -> Vec<u8> {
    write_chunk(connection, most)
}

/// Writes at most `most` bytes of the first contiguous piece.
fn write_chunk(connection: &mut Connection, most: usize) -> Vec<u8> {
    let mut buffer = connection.transmit();
    let bytes = buffer.chunk()[..buffer.chunk().len().min(most)].to_vec();
    assert_eq!(buffer.chunk().is_empty(), !buffer.has_remaining());
    buffer.advance(bytes.len());
    bytes
}

proptest! {
    #![proptest_config(cases(300))]

    // Invariant: the bytes on the wire do not depend on how and when they are written.
    #[test]
    fn any_cutting_of_the_writes_yields_the_same_bytes(
        role in strategies::role(),
        sendings in vec((sending(), vec((1..5_usize, 1..9000_usize), 0..4)), 1..12),
    ) {
        let config = crate::support::config(|config| config.write_buffer_size = usize::MAX);
        let [mut whole, mut chunked, mut vectored, mut taken] = [(); 4].map(|()| connect(role, &config));
        let (mut by_chunks, mut by_slices) = (Vec::new(), Vec::new());
        let (mut driver, mut by_driver) = (Transmit::default(), Vec::new());
        for (number, (sending, writes)) in sendings.iter().enumerate() {
            for connection in [&mut whole, &mut chunked, &mut vectored, &mut taken] {
                sending.apply(connection, number);
            }
            for &(slots, most) in writes {
                by_chunks.extend(write_chunk(&mut chunked, most));
                by_slices.extend(write_vectored(&mut vectored, slots, most));
                taken.take_transmit(&mut driver);
                prop_assert_eq!(taken.buffered(), driver.remaining(), "what was taken is in flight");
                let most = driver.remaining().min(most);
                by_driver.extend_from_slice(&driver.copy_to_bytes(most));
                taken.written(most);
                prop_assert_eq!((taken.buffered(), taken.wants_write()), (driver.remaining(), false));
            }
            prop_assert_eq!(by_chunks.len() + chunked.buffered(), whole.buffered());
            prop_assert_eq!(by_slices.len() + vectored.buffered(), whole.buffered());
        }
        by_chunks.extend(written(&mut chunked));
        by_slices.extend(written(&mut vectored));
        taken.take_transmit(&mut driver);
        by_driver.extend(drained(&mut driver));
        let bytes = written(&mut whole);
        prop_assert!(by_chunks == bytes, "chunk and advance");
        prop_assert!(by_slices == bytes, "chunks_vectored and advance");
        prop_assert!(by_driver == bytes, "take_transmit");
    }

    // Invariant: releasing memory between any two writes changes no byte.
    #[test]
    fn releasing_memory_loses_no_byte(
        role in strategies::role(),
        sendings in vec((sending(), 0..9000_usize), 1..12),
    ) {
        let config = crate::support::config(|config| config.write_buffer_size = usize::MAX);
        let [mut whole, mut released] = [(); 2].map(|()| connect(role, &config));
        let mut bytes = Vec::new();
        for (number, (sending, most)) in sendings.iter().enumerate() {
            sending.apply(&mut whole, number);
            sending.apply(&mut released, number);
            bytes.extend(write_chunk(&mut released, *most));
            released.shrink_to_fit();
        }
        bytes.extend(written(&mut released));
        prop_assert!(bytes == written(&mut whole));
    }
}

#[test]
fn advancing_beyond_the_end_empties_the_buffer_and_does_not_panic() {
    let mut server = open(Role::Server);
    server.send(vec![1; 5000]).unwrap();
    server.send("more").unwrap();
    server.transmit().advance(usize::MAX);
    assert!(!server.wants_write());
    server.send("hi").unwrap();
    assert_eq!(written(&mut server), b"\x81\x02hi");
}
