//! The boundaries at which the network splits a compressed message have no meaning, but its end has.

use std::sync::Arc;

use flate2::{Compress, Compression, FlushCompress};
use proptest::{collection::vec, prelude::*};
use ws_core::{
    Config, Delivery, Event, Message, ProtocolError,
    frame::Opcode,
    testing::{assembled, receive_pieces, strategies},
};

use super::{compressing, masked, receive, server_for_offer};

/// Returns a compressed payload.
fn deflated(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut codec = Compress::new(Compression::new(level), false);
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8 + 64);
    codec.compress_vec(bytes, &mut out, FlushCompress::Sync).unwrap();
    assert!(out.ends_with(&[0, 0, 0xFF, 0xFF]));
    out.truncate(out.len() - 4);
    out
}

/// Returns incompressible bytes.
fn noise(len: usize) -> Vec<u8> {
    let step = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some((*state >> 56) as u8)
    };
    std::iter::repeat_with(|| ()).scan(7, |state, ()| step(state)).take(len).collect()
}

/// Returns the messages or the error that a server receives from a message in pieces of these sizes.
fn received(
    config: &Arc<Config>,
    frames: &[u8],
    sizes: &[usize],
) -> (Vec<Event<'static>>, Option<ProtocolError>) {
    let (mut server, _) = server_for_offer("permessage-deflate", config);
    let received = receive_pieces(&mut server, frames, sizes);
    (assembled(received.events), received.error)
}

#[test]
fn a_ratio_within_the_guard_is_accepted_however_the_message_is_cut() {
    // The ratio is far above the limit at the beginning, and a quarter of it in total.
    let message = [vec![0; 200_000], noise(65_000)].concat();
    let payload = deflated(&message, 6);
    let ratio = message.len() as f64 / payload.len() as f64;
    assert!((4.0..4.1).contains(&ratio), "{ratio}");
    let frame = masked(Opcode::Binary, true, true, &payload);
    for (limit, error) in [(10, None), (5, None), (4, Some(ProtocolError::CompressionRatio { limit: 4 }))] {
        for sizes in [&[usize::MAX][..], &[1460], &[1], &[100, 70_000], &[20_000]] {
            let config = compressing(|_, deflate| deflate.max_ratio = Some(limit));
            let (events, actual) = received(&config, &frame, sizes);
            assert_eq!((events.len(), actual), (usize::from(error.is_none()), error), "{limit}, {sizes:?}");
        }
    }
}

#[test]
fn a_bomb_in_fragments_without_end_is_stopped_by_the_ratio_it_has_so_far() {
    let config = compressing(|config, deflate| {
        config.max_message_size = usize::MAX;
        deflate.max_ratio = Some(10);
    });
    let payload = deflated(&vec![0; 1 << 20], 9);
    let (first, rest) = payload.split_at(payload.len() / 2);
    let frames =
        [masked(Opcode::Binary, false, true, first), masked(Opcode::Continuation, false, false, rest)]
            .concat();
    let error = Some(ProtocolError::CompressionRatio { limit: 10 });
    for sizes in [&[usize::MAX][..], &[1], &[7, 300]] {
        assert_eq!(received(&config, &frames, sizes), (vec![], error), "{sizes:?}");
    }
}

#[test]
fn a_message_that_is_cut_anywhere_inside_a_block_is_refused() {
    let text =
        b"No block of this text is whole before its last byte, and neither is the header of one. ".repeat(9);
    for level in [1, 6, 9] {
        let payload = deflated(&text, level);
        for len in 1..payload.len() {
            for piece in [1, usize::MAX] {
                let (mut server, _) = server_for_offer("permessage-deflate", &compressing(|_, _| {}));
                let frame = masked(Opcode::Text, true, true, &payload[..len]);
                let received = receive(&mut server, &frame, piece);
                assert_eq!(received, Err(ProtocolError::InvalidCompression), "{len} of {}", payload.len());
            }
        }
        let (mut server, _) = server_for_offer("permessage-deflate", &compressing(|_, _| {}));
        let frame = masked(Opcode::Text, true, true, &payload);
        let message = Message::from(std::str::from_utf8(&text).unwrap());
        // Twice, because the check at the end must not lose the context to which the second message may refer.
        for _ in 0..2 {
            assert_eq!(receive(&mut server, &frame, 1).unwrap(), [Event::Message(message.clone())]);
        }
    }
}

#[test]
fn a_message_that_ends_with_whole_blocks_is_whole_in_all_their_kinds() {
    for (payload, text) in [
        // Stored, fixed and empty blocks, and a final block that is empty and also lost its last four bytes.
        (&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00][..], "Hello"),
        (&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], "Hello"),
        (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], "Hello"),
        (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], "Hello"),
        (&[0x00, 0x00, 0x00, 0xff, 0xff, 0x00], ""),
        (&[0x02, 0x00], ""),
        (&[0x01], ""),
        (&[0x00], ""),
        (&[], ""),
    ] {
        for piece in [1, usize::MAX] {
            let (mut server, _) = server_for_offer("permessage-deflate", &compressing(|_, _| {}));
            let hello = masked(Opcode::Text, true, true, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
            for (frame, text) in [(masked(Opcode::Text, true, true, payload), text), (hello, "Hello")] {
                let events = receive(&mut server, &frame, piece).unwrap();
                assert_eq!(events, [Event::Message(Message::from(text))], "{payload:02x?}");
            }
        }
    }
    // RFC 7692 7.2.1: a message ends with an empty stored block, of which at least one byte is left.
    let without =
        masked(Opcode::Text, true, true, &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    let (mut server, _) = server_for_offer("permessage-deflate", &compressing(|_, _| {}));
    assert_eq!(receive(&mut server, &without, 1), Err(ProtocolError::InvalidCompression));
}

/// Creates parts of a message that compress well, that do not compress, or that are not text.
fn parts() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        (0..100_000_usize).prop_map(|len| vec![b'a'; len]),
        (0..5_000_usize).prop_map(noise),
        "[a-f ]{0,200}".prop_map(String::into_bytes),
    ];
    vec(part, 0..5).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    // Invariant: with every option of compression, messages and error do not depend on how the input is split.
    #[test]
    fn any_cutting_of_compressed_messages_shows_the_same(
        messages in vec((parts(), any::<bool>(), any::<prop::sample::Index>(), 1..10_u32), 1..3),
        spoiled in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        max_ratio in prop::option::of(1..40_u32),
        limit in prop_oneof![Just(usize::MAX), 0..200_000_usize],
        takeover in any::<bool>(),
        in_chunks in any::<bool>(),
        sizes in strategies::cuts(),
    ) {
        let config = compressing(|config, deflate| {
            deflate.max_ratio = max_ratio;
            deflate.client_context_takeover = takeover;
            config.max_message_size = limit;
            config.delivery = if in_chunks { Delivery::Chunks } else { Delivery::Messages };
        });
        let mut frames = Vec::new();
        for (message, is_text, cut, level) in &messages {
            let opcode = if *is_text { Opcode::Text } else { Opcode::Binary };
            let mut payload = deflated(message, *level);
            if let Some((at, byte)) = &spoiled {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
            let (first, rest) = payload.split_at(cut.index(payload.len()));
            frames.extend(masked(opcode, false, true, first));
            frames.extend(masked(Opcode::Continuation, true, false, rest));
        }
        let whole = received(&config, &frames, &[usize::MAX]);
        prop_assert_eq!(&received(&config, &frames, &sizes), &whole);
        prop_assert_eq!(&received(&config, &frames, &[1]), &whole);
        prop_assert_eq!(received(&config, &frames, &[1460]), whole);
    }
}
