//! Compressed messages that are larger than `max_sent_frame_size`.

use proptest::prelude::*;
use ws_core::{
    Chunk, Connection, Event, Message, PreparedMessage,
    testing::{strategies, wire},
};

use super::{compressing, drain, open, receive};

/// Asserts the form of the frames of one compressed message: the limit applies to the compressed payload, and RSV1 is in
/// the first frame only (RFC 7692 section 6).
fn assert_frames(bytes: &[u8], limit: usize) {
    let frames = wire::frames(bytes).unwrap();
    let (first, rest) = frames.split_first().unwrap();
    assert!(rest.iter().all(|frame| frame.rsv == 0 && frame.opcode == wire::CONTINUATION));
    let fin = frames.iter().position(|frame| frame.fin).unwrap();
    assert_eq!(fin, rest.len());
    assert!(matches!(first.rsv, 0 | 4));
    assert!(frames[..fin].iter().all(|frame| frame.payload.len() == limit));
    assert!(frames[fin].payload.len() <= limit);
}

fn assert_arrives(from: &mut Connection, to: &mut Connection, limit: usize, message: &Message<'_>) -> usize {
    let bytes = drain(&mut from.transmit());
    assert_frames(&bytes, limit);
    let message = message.clone().into_owned();
    assert_eq!(receive(to, &bytes, usize::MAX).unwrap(), [Event::Message(message)]);
    wire::frames(&bytes).unwrap().len()
}

proptest! {
    // Invariant: any compressed message with any limit arrives whole, with and without a context, in both directions.
    #[test]
    fn any_compressed_message_with_any_limit_arrives_whole(
        messages in prop::collection::vec((strategies::message(), 0..4), 1..4),
        limit in prop_oneof![1..20_usize, 100..10_000_usize],
        takeover in any::<bool>(),
    ) {
        let config = compressing(|config, deflate| {
            config.max_sent_frame_size = limit;
            (config.write_buffer_size, config.max_fragments) = (usize::MAX, usize::MAX);
            (deflate.server_context_takeover, deflate.client_context_takeover) = (takeover, takeover);
        });
        let (mut client, mut server, _) = open(&config, &config).unwrap();
        for (message, way) in messages {
            for client_sends in [true, false] {
                let (from, to) =
                    if client_sends { (&mut client, &mut server) } else { (&mut server, &mut client) };
                match way {
                    0 => from.send(message.clone()).unwrap(),
                    1 => from.reply(message.clone()).unwrap(),
                    2 => from.send_prepared(&PreparedMessage::new(message.clone())).unwrap(),
                    _ => from.send_chunk(Chunk::last(message.clone())).unwrap(),
                }
                assert_arrives(from, to, limit, &message);
            }
        }
    }
}

#[test]
fn a_broadcast_is_compressed_once_and_each_connection_splits_it_by_its_own_limit() {
    let prepared = PreparedMessage::new("many words, ".repeat(1000));
    let message = Message::from("many words, ".repeat(1000));
    let mut counts = Vec::new();
    for limit in [10, 30, usize::MAX] {
        let config = compressing(|config, _| config.max_sent_frame_size = limit);
        let (mut client, mut server, _) = open(&config, &config).unwrap();
        let whole = server.take_prepared(&prepared);
        assert_eq!(whole.is_some(), limit == usize::MAX);
        server.written(whole.map_or(0, |frame| frame.len()));
        server.send_prepared(&prepared).unwrap();
        counts.push(assert_arrives(&mut server, &mut client, limit, &message));
    }
    assert!(counts[0] > counts[1] && counts[1] > 1 && counts[2] == 1, "{counts:?}");
}
