//! Limits are exact, and apply before a byte of the payload is taken (RFC 6455 section 10.4).

use proptest::prelude::*;
use ws_core::{Config, Connection, Delivery, Event, HandshakeConfig, ProtocolError, Role, State};

use crate::support::{
    ROLES, cases, error_of, events, hear, open_with, receive, receive_pieces, strategies,
    wire::{self, Frame},
};

/// Returns a connection for each role and kind of delivery.
fn each(change: impl Fn(&mut Config)) -> impl Iterator<Item = Connection> {
    let deliveries = [Delivery::Messages, Delivery::Chunks];
    ROLES.into_iter().flat_map(move |role| deliveries.map(|delivery| (role, delivery))).map(
        move |(role, delivery)| {
            open_with(role, |config| {
                config.delivery = delivery;
                change(config);
            })
        },
    )
}

/// Returns the error that a header alone causes.
fn error_of_header(connection: &mut Connection, fin: bool, opcode: u8, len: u64) -> Option<ProtocolError> {
    let header = wire::header_for(connection.role(), fin, opcode, len);
    receive(connection, &header).error
}

#[test]
fn a_message_one_byte_above_the_limit_fails_from_its_header() {
    for limit in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
        for opcode in [wire::TEXT, wire::BINARY] {
            for mut connection in each(|config| config.max_message_size = limit) {
                let received = hear(&mut connection, &[Frame::new(opcode, vec![b'x'; limit])]);
                assert!(!received.is_empty());
                let error = error_of_header(&mut connection, true, opcode, limit as u64 + 1);
                assert_eq!(error, Some(ProtocolError::MessageTooLarge { size: limit as u64 + 1, limit }));
                assert_eq!(connection.close_info().unwrap().code.get(), 1009);
            }
        }
    }
}

#[test]
fn fragments_one_byte_above_the_message_limit_fail_from_the_header() {
    for limit in [0, 1, 10, 300] {
        for first in 0..=limit.min(10) {
            for mut connection in each(|config| config.max_message_size = limit) {
                let rest = limit - first;
                hear(
                    &mut connection,
                    &[Frame::binary(vec![1; first]).unfinished(), Frame::ping(vec![0; 125])],
                );
                hear(
                    &mut connection,
                    &[Frame::continuation(vec![2; rest]).unfinished(), Frame::continuation("")],
                );
                // The size of the next message starts at zero.
                hear(&mut connection, &[Frame::binary(vec![1; first]).unfinished()]);
                let error = error_of_header(&mut connection, true, wire::CONTINUATION, rest as u64 + 1);
                assert_eq!(error, Some(ProtocolError::MessageTooLarge { size: limit as u64 + 1, limit }));
            }
        }
    }
}

#[test]
fn a_frame_one_byte_above_the_limit_fails_from_its_header() {
    for limit in [0, 1, 125, 126, 65_536] {
        for mut connection in each(|config| config.max_frame_size = limit) {
            let frames = [Frame::binary(vec![1; limit]).unfinished(), Frame::continuation(vec![1; limit])];
            assert!(!hear(&mut connection, &frames).is_empty());
            let size = limit as u64 + 1;
            let error = error_of_header(&mut connection, false, wire::TEXT, size);
            assert_eq!(error, Some(ProtocolError::FrameTooLarge { size, limit }));
            assert_eq!(connection.close_info().unwrap().code.get(), 1009);
        }
        for mut connection in each(|config| config.max_frame_size = limit) {
            hear(&mut connection, &[Frame::text("").unfinished()]);
            let error = error_of_header(&mut connection, true, wire::CONTINUATION, limit as u64 + 1);
            assert!(matches!(error, Some(ProtocolError::FrameTooLarge { .. })));
        }
    }
}

#[test]
fn as_many_fragments_as_allowed_pass_and_one_more_fails_from_the_header() {
    for limit in [1, 2, 5, 1024] {
        for role in ROLES {
            let mut connection = open_with(role, |config| config.max_fragments = limit);
            let mut frames = vec![Frame::continuation("").unfinished(); limit];
            frames[0].opcode = wire::TEXT;
            frames[limit - 1].fin = true;
            assert!(!hear(&mut connection, &frames).is_empty());
            frames[limit - 1].fin = false;
            hear(&mut connection, &frames);
            let error = error_of_header(&mut connection, true, wire::CONTINUATION, 100);
            assert_eq!(error, Some(ProtocolError::TooManyFragments { limit }));
            assert_eq!(connection.close_info().unwrap().code.get(), 1008);
        }
    }
    for role in ROLES {
        let mut connection = open_with(role, |config| config.max_fragments = 0);
        let error = error_of(&mut connection, &[Frame::text("")]);
        assert_eq!(error, Some(ProtocolError::TooManyFragments { limit: 0 }), "zero is zero");
    }
}

#[test]
fn a_message_in_chunks_may_have_any_number_of_fragments() {
    for role in ROLES {
        let mut connection = open_with(role, |config| config.delivery = Delivery::Chunks);
        let mut frames = vec![Frame::continuation("x").unfinished(); 5000];
        frames[0].opcode = wire::BINARY;
        frames[4999].fin = true;
        assert_eq!(hear(&mut connection, &frames).len(), 5000);
        assert_eq!(connection.state(), State::Open);
    }
}

#[test]
fn control_frames_are_beyond_all_limits() {
    let strictest = |config: &mut Config| {
        config.max_message_size = 0;
        config.max_frame_size = 0;
        config.max_fragments = 0;
    };
    for mut connection in each(strictest) {
        let frames =
            [Frame::ping(vec![1; 125]), Frame::pong(vec![2; 125]), Frame::close(1000, &"r".repeat(123))];
        assert_eq!(hear(&mut connection, &frames).len(), 3);
    }
}

#[test]
fn without_limits_the_longest_frame_that_there_is_may_be_announced() {
    for len in [1 << 32, 1 << 62, (1 << 63) - 1] {
        for mut connection in each(|config| config.max_message_size = usize::MAX) {
            assert_eq!(error_of_header(&mut connection, false, wire::BINARY, len), None);
            assert_eq!(receive(&mut connection, &[0; 100]).error, None);
        }
    }
}

#[test]
fn sums_of_sizes_near_the_largest_do_not_wrap() {
    const LONGEST: u64 = (1 << 63) - 1;
    for first in [1, 1000] {
        // No limit.
        for mut connection in each(|config| config.max_message_size = usize::MAX) {
            hear(&mut connection, &[Frame::binary(vec![0; first]).unfinished()]);
            assert_eq!(error_of_header(&mut connection, true, wire::CONTINUATION, LONGEST), None);
        }
        // A limit that a sum in 63 bits would bypass.
        for limit in [usize::MAX >> 1, (usize::MAX >> 1) - 1, 1 << 20, 0xFFFF_FFFF.min(usize::MAX - 1), first]
        {
            for mut connection in each(|config| config.max_message_size = limit) {
                hear(&mut connection, &[Frame::binary(vec![0; first]).unfinished()]);
                let error = error_of_header(&mut connection, true, wire::CONTINUATION, LONGEST);
                let size = LONGEST + first as u64;
                assert_eq!(error, Some(ProtocolError::MessageTooLarge { size, limit }));
            }
        }
    }
}

#[test]
fn fragments_that_claim_2_to_the_62_bytes_are_accepted_without_memory() {
    // The second header becomes visible only behind the first payload, so each size is announced in its own
    // connection.
    for mut connection in each(|config| config.max_message_size = usize::MAX) {
        assert_eq!(error_of_header(&mut connection, false, wire::BINARY, 1 << 62), None);
    }
    for mut connection in each(|config| config.max_message_size = usize::MAX) {
        hear(&mut connection, &[Frame::binary("first").unfinished()]);
        assert_eq!(error_of_header(&mut connection, false, wire::CONTINUATION, 1 << 62), None);
        assert_eq!(receive(&mut connection, &[0; 1000]).error, None);
    }
}

#[test]
fn a_pong_between_fragments_does_not_change_their_sum() {
    // gorilla CVE-2020-27813 and its regression: a control frame between two announcements.
    for mut connection in each(|config| config.max_message_size = 10) {
        hear(&mut connection, &[Frame::binary(vec![0; 6]).unfinished(), Frame::pong(vec![0; 100])]);
        let error = error_of_header(&mut connection, true, wire::CONTINUATION, 5);
        assert_eq!(error, Some(ProtocolError::MessageTooLarge { size: 11, limit: 10 }));
    }
}

#[test]
fn the_limit_holds_for_the_whole_message_in_chunks_too() {
    let mut connection = open_with(Role::Client, |config| {
        config.delivery = Delivery::Chunks;
        config.max_message_size = 4;
    });
    let received = events(&mut connection, &Frame::binary(*b"abcd").unfinished().encode());
    assert!(matches!(&received[..], [Event::Chunk(chunk)] if chunk.payload.as_bytes() == b"abcd"));
    let error = error_of(&mut connection, &[Frame::continuation("e")]);
    assert_eq!(error, Some(ProtocolError::MessageTooLarge { size: 5, limit: 4 }));
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = Config::default();
    assert_eq!(config.max_message_size, 1 << 20);
    assert_eq!(config.max_frame_size, usize::MAX);
    assert_eq!(config.max_fragments, 1024);
    assert_eq!(config.write_buffer_size, 64 << 10);
    let handshake = HandshakeConfig::default();
    assert_eq!((handshake.max_head_size, handshake.max_headers), (16 << 10, 128));
}

proptest! {
    #![proptest_config(cases(300))]

    // Invariant: a message of n bytes in any fragments passes under the limit n, and fails under n - 1 with 1009
    // directly after the header that exceeds the limit.
    #[test]
    fn size_limits_are_exact_for_any_fragmentation(
        role in strategies::role(),
        sizes in prop::collection::vec(0..300_usize, 1..6),
        last in 1..300_usize,
    ) {
        let fragment = |size: &usize| Frame::continuation(vec![0; *size]).unfinished();
        let mut frames: Vec<_> = sizes.iter().map(fragment).collect();
        frames.push(Frame::continuation(vec![0; last]));
        frames[0].opcode = wire::BINARY;
        let total = sizes.iter().sum::<usize>() + last;

        let mut enough = open_with(role, |config| config.max_message_size = total);
        prop_assert_eq!(hear(&mut enough, &frames).len(), 1);

        let mut short = open_with(role, |config| config.max_message_size = total - 1);
        let stream = wire::stream(role, &frames);
        let before = stream.len() - last;
        let received = receive_pieces(&mut short, &stream[..before - 1], &[1]);
        prop_assert_eq!(received.error, None);
        let error = receive(&mut short, &stream[before - 1..before]).error;
        prop_assert_eq!(error, Some(ProtocolError::MessageTooLarge { size: total as u64, limit: total - 1 }));
    }
}
