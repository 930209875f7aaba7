//! Messages arrive unchanged with all parameters, fragments and pieces. The examples of the RFC are included.

use proptest::prelude::*;
use ws_core::{Chunk, Delivery, Event, Message, PreparedMessage, frame::Opcode};

use super::{compressing, drain, masked, open, receive, server_for_offer};

#[test]
fn the_examples_of_the_rfc_mean_hello() {
    let hello = [Event::Message(Message::from("Hello"))];
    // RFC 7692 7.2.3.1 to 7.2.3.5. Each connection keeps its context, which 7.2.3.2 uses.
    for payloads in [
        &[&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &[0xf2, 0x00, 0x11, 0x00, 0x00]][..],
        &[&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]],
        &[&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]],
        &[&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]],
    ] {
        for piece in [1, 3, usize::MAX] {
            let (mut server, _) = server_for_offer("permessage-deflate", &compressing(|_, _| {}));
            for payload in payloads {
                let frame = masked(Opcode::Text, true, true, payload);
                assert_eq!(receive(&mut server, &frame, piece).unwrap(), hello, "{payload:02x?}");
            }
        }
    }
}

#[test]
fn the_fragmented_example_of_the_rfc_means_hello() {
    let (mut server, _) = server_for_offer("permessage-deflate", &compressing(|_, _| {}));
    let frames = [
        masked(Opcode::Text, false, true, &[0xf2, 0x48, 0xcd]),
        masked(Opcode::Ping, true, false, b"between"),
        masked(Opcode::Continuation, true, false, &[0xc9, 0xc9, 0x07, 0x00]),
    ];
    let events = receive(&mut server, &frames.concat(), usize::MAX).unwrap();
    assert_eq!(events.last(), Some(&Event::Message(Message::from("Hello"))));
}

#[test]
fn an_empty_message_is_compressed_to_one_byte() {
    let config = compressing(|_, deflate| deflate.client_context_takeover = true);
    let (mut client, mut server, _) = open(&config, &config).unwrap();
    client.send("").unwrap();
    let bytes = drain(&mut client.transmit());
    // RFC 7692 7.2.3.6.
    assert_eq!((bytes.len(), bytes[0]), (2 + 4 + 1, 0xC1));
    assert_eq!(receive(&mut server, &bytes, 1).unwrap(), [Event::Message(Message::from(""))]);
}

#[test]
fn short_messages_and_those_that_do_not_shrink_are_sent_as_they_are() {
    let config = compressing(|_, deflate| deflate.threshold = 64);
    let (_, mut server, _) = open(&config, &config).unwrap();
    server.send("a".repeat(63)).unwrap();
    assert_eq!(drain(&mut server.transmit())[0], 0x81);
    server.send("a".repeat(64)).unwrap();
    assert_eq!(drain(&mut server.transmit())[0], 0xC1);
    let noise: Vec<u8> = (0..200_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    server.send(&noise).unwrap();
    assert_eq!(drain(&mut server.transmit())[0], 0x82);
}

#[test]
fn compression_can_be_switched_off_for_single_messages() {
    let config = compressing(|_, _| {});
    let (mut client, mut server, _) = open(&config, &config).unwrap();
    for (enabled, first) in [(true, 0xC1), (false, 0x81), (true, 0xC1)] {
        client.set_compression(enabled);
        client.send("secret".repeat(20)).unwrap();
        let bytes = drain(&mut client.transmit());
        assert_eq!(bytes[0], first);
        assert_eq!(receive(&mut server, &bytes, 11).unwrap().len(), 1);
    }
}

#[test]
fn a_prepared_message_is_compressed_once_for_all_that_keep_no_context() {
    let config = compressing(|_, _| {});
    let prepared = PreparedMessage::new("news ".repeat(400));
    let mut frames = Vec::new();
    for _ in 0..3 {
        let (mut client, mut server, _) = open(&config, &config).unwrap();
        server.send_prepared(&prepared).unwrap();
        let bytes = drain(&mut server.transmit());
        let events = receive(&mut client, &bytes, 13).unwrap();
        assert_eq!(events, [Event::Message(Message::from("news ".repeat(400)))]);
        frames.push(bytes);
    }
    assert!(frames[0].len() < 100 && frames.iter().all(|frame| frame == &frames[0]));
}

#[test]
fn dropping_an_idle_compressor_is_not_noticed_by_the_peer() {
    let config = compressing(|_, deflate| {
        deflate.server_context_takeover = true;
        deflate.release_when_idle = true;
    });
    let (mut client, mut server, _) = open(&config, &config).unwrap();
    for _ in 0..3 {
        server.send("the same again and again").unwrap();
        let bytes = drain(&mut server.transmit());
        server.shrink_to_fit();
        assert_eq!(
            receive(&mut client, &bytes, 5).unwrap(),
            [Event::Message("the same again and again".into())]
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    // Chunks of any sizes, in any delivery and any pieces, result in the original message.
    #[test]
    fn messages_survive_any_fragments_and_pieces(
        text in "([a-c]{1,40}|\\PC{1,20}){0,60}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        piece in 1_usize..400,
        takeover in any::<bool>(),
        in_chunks in any::<bool>(),
        times in 1..4,
    ) {
        let config = compressing(|config, deflate| {
            deflate.client_context_takeover = takeover;
            config.delivery = if in_chunks { Delivery::Chunks } else { Delivery::Messages };
        });
        let (mut client, mut server, _) = open(&config, &config).unwrap();
        for _ in 0..times {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).filter(|&at| text.is_char_boundary(at)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let last = at.len() - 2;
            for (index, range) in at.windows(2).enumerate() {
                let part = &text[range[0]..range[1]];
                client.send_chunk(if index == last { Chunk::last(part) } else { Chunk::new(part) }).unwrap();
            }
            let bytes = drain(&mut client.transmit());
            let mut joined = String::new();
            let mut ends = 0;
            for event in receive(&mut server, &bytes, piece).unwrap() {
                match event {
                    Event::Message(message) => { joined.push_str(message.as_text().unwrap()); ends += 1; }
                    Event::Chunk(chunk) => { joined.push_str(chunk.payload.as_text().unwrap()); ends += i32::from(chunk.last); }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            prop_assert_eq!(&joined, &text);
            prop_assert_eq!(ends, 1);
        }
    }
}
