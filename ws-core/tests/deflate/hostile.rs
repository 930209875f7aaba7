//! Decompression bombs, invalid data, and data without a meaning.

use allocation_counter::measure;
use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;
use ws_core::{CloseCode, Delivery, Event, Message, ProtocolError, frame::Opcode};

use super::{compressing, masked, receive, server_for_offer};

/// Returns this number of zeros as a compressed payload.
fn zeros(len: usize) -> Vec<u8> {
    let mut codec = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(len / 500 + 64);
    let block = vec![0; 1 << 20];
    for rest in (0..len).step_by(block.len()).map(|done| (len - done).min(block.len())) {
        codec.compress_vec(&block[..rest], &mut out, FlushCompress::None).unwrap();
    }
    codec.compress_vec(&[], &mut out, FlushCompress::Sync).unwrap();
    assert!(out.ends_with(&[0, 0, 0xFF, 0xFF]));
    out.truncate(out.len() - 4);
    out
}

/// Returns a compressed payload of one block that is followed by others.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut codec = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(bytes.len() + 64);
    codec.compress_vec(bytes, &mut out, FlushCompress::Sync).unwrap();
    out
}

#[test]
fn a_bomb_ends_with_1009_and_never_takes_more_than_twice_the_limit() {
    const LIMIT: usize = 1 << 20;
    let payload = zeros(64 << 20);
    assert!(payload.len() < 80 << 10, "{} bytes", payload.len());
    // Once as a whole message, once as a stream without an end.
    for fin in [true, false] {
        let config = compressing(|config, _| config.max_message_size = LIMIT);
        let (mut server, _) = server_for_offer("permessage-deflate", &config);
        let mut bytes = masked(Opcode::Binary, fin, true, &payload);
        let mut result = Ok(None);
        let cost = measure(|| {
            let mut input = &mut bytes[..];
            result = server.receive(&mut input).map(|event| event.map(Event::into_owned));
        });
        let Err(error) = result else { panic!("{result:?}") };
        assert!(matches!(error, ProtocolError::MessageTooLarge { limit: LIMIT, .. }), "{error}");
        assert_eq!(error.close_code(), CloseCode::MESSAGE_TOO_BIG);
        assert!(cost.bytes_max <= 2 * LIMIT as u64 + (64 << 10), "{} bytes", cost.bytes_max);
    }
}

#[test]
fn in_chunks_a_bomb_takes_little_memory_at_a_time() {
    let config = compressing(|config, _| {
        config.max_message_size = usize::MAX;
        config.delivery = Delivery::Chunks;
    });
    let (mut server, _) = server_for_offer("permessage-deflate", &config);
    let mut bytes = masked(Opcode::Binary, true, true, &zeros(16 << 20));
    let mut total = 0;
    let cost = measure(|| {
        let mut input = &mut bytes[..];
        while let Some(event) = server.receive(&mut input).unwrap() {
            let Event::Chunk(chunk) = event else { panic!("{event:?}") };
            total += chunk.payload.len();
        }
    });
    assert_eq!(total, 16 << 20);
    assert!(cost.bytes_max <= 1 << 20, "{} bytes", cost.bytes_max);
}

#[test]
fn the_limit_on_the_inflated_size_is_exact() {
    for (len, fits) in [(999, true), (1000, true), (1001, false)] {
        let config = compressing(|config, _| config.max_message_size = 1000);
        let (mut server, _) = server_for_offer("permessage-deflate", &config);
        let received = receive(&mut server, &masked(Opcode::Binary, true, true, &zeros(len)), usize::MAX);
        assert_eq!(received.is_ok(), fits, "{len}");
    }
}

#[test]
fn a_ratio_beyond_the_guard_ends_with_1009() {
    let config = compressing(|config, deflate| {
        config.max_message_size = usize::MAX;
        deflate.max_ratio = Some(100);
    });
    let (mut server, _) = server_for_offer("permessage-deflate", &config);
    let error =
        receive(&mut server, &masked(Opcode::Binary, true, true, &zeros(1 << 20)), usize::MAX).unwrap_err();
    assert_eq!(error, ProtocolError::CompressionRatio { limit: 100 });
    assert_eq!(error.close_code(), CloseCode::MESSAGE_TOO_BIG);
}

#[test]
fn a_message_that_ends_with_a_final_block_is_whole() {
    let (mut server, _) = server_for_offer("permessage-deflate", &compressing(|_, _| {}));
    for _ in 0..3 {
        let events = receive(&mut server, &masked(Opcode::Binary, true, true, &[0x03, 0x80]), 1).unwrap();
        assert_eq!(events, [Event::Message(Message::from(&[]))]);
    }
    let hello = masked(Opcode::Text, true, true, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    assert_eq!(receive(&mut server, &hello, 1).unwrap(), [Event::Message(Message::from("Hello"))]);
}

#[test]
fn corrupt_and_truncated_data_end_with_1007() {
    for payload in [
        // A reserved type of block, a stored block with a wrong length, and a block that announces more bytes than
        // follow.
        &[0x07][..],
        &[0x00, 0x05, 0x00, 0x00, 0x00],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48],
        // "Hello", truncated.
        &[0xf2, 0x48],
    ] {
        for piece in [1, usize::MAX] {
            let (mut server, _) = server_for_offer("permessage-deflate", &compressing(|_, _| {}));
            let error =
                receive(&mut server, &masked(Opcode::Binary, true, true, payload), piece).unwrap_err();
            assert_eq!(error, ProtocolError::InvalidCompression, "{payload:02x?}");
            assert_eq!(error.close_code(), CloseCode::INVALID_FRAME_PAYLOAD_DATA);
        }
    }
}

#[test]
fn text_is_checked_after_it_was_inflated() {
    let stored = |bytes: &[u8]| {
        let len = bytes.len() as u16;
        [&[0][..], &len.to_le_bytes(), &(!len).to_le_bytes(), bytes, &[0]].concat()
    };
    let (mut server, _) = server_for_offer("permessage-deflate", &compressing(|_, _| {}));
    let good = masked(Opcode::Text, true, true, &stored("grün".as_bytes()));
    assert_eq!(receive(&mut server, &good, 1).unwrap(), [Event::Message(Message::from("grün"))]);
    for bad in [&b"\xff"[..], b"gr\xc3", b"\xed\xa0\x80"] {
        let (mut server, _) = server_for_offer("permessage-deflate", &compressing(|_, _| {}));
        let received = receive(&mut server, &masked(Opcode::Text, true, true, &stored(bad)), usize::MAX);
        assert_eq!(received, Err(ProtocolError::InvalidUtf8));
    }
}

#[test]
fn the_bit_of_compression_is_refused_where_it_has_no_meaning() {
    let config = compressing(|_, _| {});
    for frames in [
        masked(Opcode::Ping, true, true, b""),
        masked(Opcode::Close, true, true, b""),
        [masked(Opcode::Text, false, true, &[0xf2]), masked(Opcode::Continuation, true, true, &[0])].concat(),
        [masked(Opcode::Text, false, false, b"a"), masked(Opcode::Continuation, true, true, &[0])].concat(),
    ] {
        let (mut server, _) = server_for_offer("permessage-deflate", &config);
        assert_eq!(receive(&mut server, &frames, usize::MAX), Err(ProtocolError::ReservedBits));
    }
    let (mut server, _) = server_for_offer("none", &config);
    let received = receive(&mut server, &masked(Opcode::Text, true, true, &[0]), usize::MAX);
    assert_eq!(received, Err(ProtocolError::ReservedBits));
}

#[test]
fn an_idle_connection_that_keeps_no_context_has_no_codec() {
    let config = compressing(|_, deflate| deflate.client_context_takeover = false);
    let message = masked(Opcode::Binary, true, true, &zeros(10_000));
    // The first connection creates the codecs that the others share.
    let (mut first, _) = server_for_offer("permessage-deflate", &config);
    receive(&mut first, &message, usize::MAX).unwrap();
    first.send("a".repeat(10_000)).unwrap();
    super::drain(&mut first.transmit());
    let mut kept = None;
    let cost = measure(|| {
        let (mut server, _) = server_for_offer("permessage-deflate", &config);
        receive(&mut server, &message, usize::MAX).unwrap();
        server.send("a".repeat(10_000)).unwrap();
        super::drain(&mut server.transmit());
        kept = Some(server);
    });
    assert!(kept.is_some());
    assert!(cost.bytes_current <= 1024, "{} bytes", cost.bytes_current);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    // Any bytes are a message or an error, the same regardless of how they are split, and never cause a loop or a
    // panic.
    #[test]
    fn any_bytes_are_a_message_or_an_error(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        text in any::<bool>(),
        piece in 1_usize..50,
    ) {
        let opcode = if text { Opcode::Text } else { Opcode::Binary };
        let bytes = masked(opcode, true, true, &payload);
        let outcome = |piece| {
            let (mut server, _) = server_for_offer("permessage-deflate", &compressing(|_, _| {}));
            receive(&mut server, &bytes, piece)
        };
        prop_assert_eq!(outcome(usize::MAX), outcome(piece));
    }
}

#[test]
fn what_a_compressed_message_is_refused_for_does_not_depend_on_cuts() {
    const TOO_LARGE: ProtocolError = ProtocolError::MessageTooLarge { size: 101, limit: 100 };
    let reserved = [0x07];
    for (payload, expected) in [
        // Invalid text, followed by invalid DEFLATE data.
        ([&deflated(b"\xff")[..], &reserved].concat(), ProtocolError::InvalidUtf8),
        // Invalid text that then becomes too large, and the reverse.
        (deflated(&[0xFF; 300]), ProtocolError::InvalidUtf8),
        (deflated(&[&[b'a'; 100][..], &[0xFF; 10]].concat()), TOO_LARGE),
        // Too much data, followed by invalid DEFLATE data.
        ([&deflated(&[b'a'; 300])[..], &reserved].concat(), TOO_LARGE),
    ] {
        for piece in [1, 7, usize::MAX] {
            let config = compressing(|config, _| config.max_message_size = 100);
            let (mut server, _) = server_for_offer("permessage-deflate", &config);
            let received = receive(&mut server, &masked(Opcode::Text, true, true, &payload), piece);
            assert_eq!(received, Err(expected), "{payload:02x?} in pieces of {piece}");
        }
    }
}

#[test]
fn what_contexts_cost_is_what_the_documentation_says() {
    let config = compressing(|_, deflate| deflate.server_context_takeover = true);
    let (mut server, _) = server_for_offer("permessage-deflate", &config);
    let message = masked(Opcode::Binary, true, true, &zeros(10_000));
    let inflater = measure(|| drop(receive(&mut server, &message, usize::MAX).unwrap())).bytes_current;
    let compressor = measure(|| {
        server.send("a".repeat(1000)).unwrap();
        super::drain(&mut server.transmit());
    })
    .bytes_current;
    assert!((40 << 10..48 << 10).contains(&inflater), "{inflater} bytes");
    assert!((350 << 10..380 << 10).contains(&compressor), "{compressor} bytes");
}
