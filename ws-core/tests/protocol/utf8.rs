//! Text is UTF-8, and invalid text is refused as early as possible (RFC 6455 section 8.1).

use std::str::from_utf8;

use proptest::prelude::*;
use ws_core::{Delivery, ProtocolError, Role, Utf8Decoder};

use crate::support::{
    ROLES, binary, cases, error_of, hear, open, open_with, pieces, receive, receive_pieces, strategies, text,
    wire::{self, Frame},
};

/// Returns `true` if a continuation can make these bytes UTF-8.
fn can_become_text(bytes: &[u8]) -> bool {
    from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}

proptest! {
    #![proptest_config(cases(3000))]

    // Invariant: a piece is refused if and only if no continuation could make the bytes up to its end text.
    #[test]
    fn the_decoder_fails_in_the_first_piece_that_makes_it_certain(
        bytes in strategies::nearly_text(),
        sizes in strategies::cuts(),
    ) {
        let mut decoder = Utf8Decoder::default();
        let mut text = String::new();
        let mut end = 0;
        for piece in pieces(&bytes, &sizes) {
            end += piece.len();
            let decoded = decoder.decode(piece);
            prop_assert_eq!(decoded.is_ok(), can_become_text(&bytes[..end]));
            let Ok((completed, more)) = decoded else { return Ok(()) };
            text.extend(completed);
            text.push_str(more);
            // Only the beginning of a character is kept.
            prop_assert_eq!(decoder.is_complete(), text.len() == end);
            prop_assert_eq!(text.as_bytes(), &bytes[..text.len()]);
            prop_assert!(end - text.len() < 4);
        }
        prop_assert_eq!(decoder.is_complete(), from_utf8(&bytes).is_ok());
    }

    // Invariant: a text message is delivered if and only if it is UTF-8, regardless of how it is fragmented and
    // split.
    #[test]
    fn a_message_is_text_exactly_if_it_is_utf8(
        role in strategies::role(),
        bytes in strategies::nearly_text(),
        fragments in strategies::cuts(),
        sizes in strategies::cuts(),
    ) {
        let fragments = pieces(&bytes, &fragments);
        let fragment = |part: &&[u8]| Frame::continuation(*part).unfinished();
        let mut frames: Vec<_> = fragments.iter().map(fragment).collect();
        frames.push(Frame::continuation(""));
        frames[0].opcode = wire::TEXT;
        let mut connection = open_with(role, |config| config.max_fragments = usize::MAX);
        let received = receive_pieces(&mut connection, &wire::stream(role, &frames), &sizes);
        let expected = match from_utf8(&bytes) {
            Ok(valid) => (vec![text(valid)], None),
            Err(_) => (vec![], Some(ProtocolError::InvalidUtf8)),
        };
        prop_assert_eq!((received.events, received.error), expected);
    }
}

const VALID: [&[u8]; 14] = [
    b"",
    b"\0",
    b"\x7F",
    b"\xC2\x80",
    b"\xDF\xBF",
    b"\xE0\xA0\x80",
    b"\xED\x9F\xBF",
    b"\xEE\x80\x80",
    b"\xEF\xBB\xBF",
    b"\xEF\xBF\xBE",
    b"\xEF\xBF\xBF",
    b"\xF0\x90\x80\x80",
    b"\xF4\x8F\xBF\xBF",
    b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5",
];

/// Each entry with the number of bytes after which it is certainly invalid.
const INVALID: [(&[u8], usize); 24] = [
    // Continuation bytes without a beginning.
    (b"\x80", 1),
    (b"\xBF", 1),
    (b"a\x80a", 2),
    // Overlong forms of '/', NUL and the last character below each border.
    (b"\xC0\xAF", 1),
    (b"\xC1\xBF", 1),
    (b"\xE0\x80\xAF", 2),
    (b"\xE0\x9F\xBF", 2),
    (b"\xF0\x80\x80\xAF", 2),
    (b"\xF0\x8F\xBF\xBF", 2),
    (b"\xF8\x80\x80\x80\xAF", 1),
    (b"\xFC\x80\x80\x80\x80\xAF", 1),
    // Surrogates, one and a pair.
    (b"\xED\xA0\x80", 2),
    (b"\xED\xBF\xBF", 2),
    (b"\xED\xA0\x80\xED\xB0\x80", 2),
    // Above U+10FFFF.
    (b"\xF4\x90\x80\x80", 2),
    (b"\xF5\x80\x80\x80", 1),
    (b"\xF7\xBF\xBF\xBF", 1),
    // Bytes that UTF-8 does not use.
    (b"\xFE", 1),
    (b"\xFF", 1),
    // Interrupted characters.
    (b"\xC3a", 2),
    (b"\xE2\x82a", 3),
    (b"\xF0\x9F\x98a", 4),
    (b"\xC3\xC3\xBC", 2),
    (b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xED\xA0\x80edited", 13),
];

/// Returns the payload as one frame, and as all pairs of fragments.
fn all_fragmentations(payload: &[u8]) -> Vec<Vec<Frame>> {
    let mut all = vec![vec![Frame::text(payload)]];
    for cut in 0..=payload.len() {
        let (first, second) = payload.split_at(cut);
        all.push(vec![Frame::text(first).unfinished(), Frame::continuation(second)]);
    }
    all
}

#[test]
fn valid_text_is_delivered_wherever_it_is_cut() {
    for role in ROLES {
        for payload in VALID {
            let expected = [text(from_utf8(payload).unwrap())];
            for frames in all_fragmentations(payload) {
                let stream = wire::stream(role, &frames);
                for cut in 0..=stream.len() {
                    let received = receive_pieces(&mut open(role), &stream, &[cut, usize::MAX]);
                    assert_eq!((&received.events[..], received.error), (&expected[..], None), "{payload:x?}");
                }
            }
        }
    }
}

#[test]
fn invalid_text_is_refused_wherever_it_is_cut() {
    for role in ROLES {
        for (payload, _) in INVALID {
            for frames in all_fragmentations(payload) {
                let stream = wire::stream(role, &frames);
                for cut in 0..=stream.len() {
                    let received = receive_pieces(&mut open(role), &stream, &[cut, usize::MAX]);
                    assert_eq!(received.events, [], "{payload:x?}");
                    assert_eq!(received.error, Some(ProtocolError::InvalidUtf8), "{payload:x?}");
                }
            }
        }
    }
    assert_eq!(ProtocolError::InvalidUtf8.close_code().get(), 1007);
}

#[test]
fn invalid_text_is_refused_at_the_first_byte_that_makes_it_certain() {
    for role in ROLES {
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            for (payload, certain) in INVALID {
                let mut connection = open_with(role, |config| config.delivery = delivery);
                // The frame announces more bytes than arrive. The error does not wait for them.
                let header =
                    wire::header(true, 0, wire::TEXT, (role == Role::Server).then_some([0; 4]), 100_000);
                assert_eq!(receive(&mut connection, &header).error, None);
                let errors: Vec<_> =
                    payload.iter().map(|byte| receive(&mut connection, &[*byte]).error).collect();
                let first = errors.iter().position(Option::is_some);
                assert_eq!(first, Some(certain - 1), "{payload:x?}");
            }
        }
    }
}

#[test]
fn text_cut_inside_a_character_is_refused_only_at_the_messages_end() {
    for begun in [&b"\xC3"[..], b"\xE2\x82", b"\xF0\x9F\x98", b"abc\xF0"] {
        for role in ROLES {
            for delivery in [Delivery::Messages, Delivery::Chunks] {
                let open = || open_with(role, |config| config.delivery = delivery);
                assert_eq!(error_of(&mut open(), &[Frame::text(begun)]), Some(ProtocolError::InvalidUtf8));
                let mut connection = open();
                assert_eq!(error_of(&mut connection, &[Frame::text(begun).unfinished()]), None);
                assert_eq!(error_of(&mut connection, &[Frame::continuation("").unfinished()]), None);
                let end = error_of(&mut connection, &[Frame::continuation("")]);
                assert_eq!(end, Some(ProtocolError::InvalidUtf8), "{begun:x?}");
            }
        }
    }
}

#[test]
fn long_text_is_checked_to_its_last_byte() {
    // From 64 bytes on another validator is used.
    for len in [63, 64, 65, 127, 128, 1000] {
        for place in [0, 1, 31, 32, 33, len / 2, len - 2, len - 1] {
            let mut payload = vec![b'a'; len];
            assert_eq!(hear(&mut open(Role::Server), &[Frame::text(&payload[..])]).len(), 1);
            payload[place] = 0xC0;
            assert_eq!(
                error_of(&mut open(Role::Server), &[Frame::text(&payload[..])]),
                Some(ProtocolError::InvalidUtf8)
            );
            assert_eq!(
                error_of(&mut open(Role::Client), &[Frame::text(&payload[..]).unfinished()]),
                Some(ProtocolError::InvalidUtf8)
            );
        }
    }
}

#[test]
fn binary_messages_pings_and_pongs_may_hold_any_bytes() {
    for role in ROLES {
        for (payload, _) in INVALID {
            let frames = [Frame::binary(payload), Frame::ping(payload), Frame::pong(payload)];
            assert_eq!(hear(&mut open(role), &frames)[0], binary(payload));
        }
    }
}

#[test]
fn a_pong_between_fragments_does_not_disturb_a_split_character() {
    for role in ROLES {
        let frames =
            [Frame::text(b"\xF0\x9F").unfinished(), Frame::pong(b"\xFF"), Frame::continuation(b"\x98\x80")];
        let received = receive_pieces(&mut open(role), &wire::stream(role, &frames), &[1]);
        assert_eq!(received.events.last(), Some(&text("😀")));
    }
}
