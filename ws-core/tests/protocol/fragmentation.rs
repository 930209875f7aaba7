//! Fragmentation, and control frames between fragments (RFC 6455 section 5.4).

use std::slice;

use ws_core::{Chunk, CloseCode, CloseFrame, Event, ProtocolError, Role};

use crate::support::{
    ROLES, binary, error_of, events, hear, open, open_with, ping, pong, receive_pieces, sent, text,
    wire::{self, Frame},
};

#[test]
fn a_fragmented_message_is_delivered_as_one() {
    let table: [(&[Frame], _); 7] = [
        (&[Frame::text("Hel").unfinished(), Frame::continuation("lo")], text("Hello")),
        (&[Frame::binary(*b"a").unfinished(), Frame::continuation(*b"b")], binary(b"ab")),
        (&[Frame::text("").unfinished(), Frame::continuation("")], text("")),
        (&[Frame::text("").unfinished(), Frame::continuation("a")], text("a")),
        (&[Frame::text("a").unfinished(), Frame::continuation("")], text("a")),
        (
            &[
                Frame::binary("").unfinished(),
                Frame::continuation("").unfinished(),
                Frame::continuation("x").unfinished(),
                Frame::continuation("").unfinished(),
                Frame::continuation(""),
            ],
            binary(b"x"),
        ),
        (&[Frame::text("Gr\u{fc}").unfinished(), Frame::continuation("\u{df}e")], text("Grüße")),
    ];
    for role in ROLES {
        for (frames, message) in &table {
            let stream = wire::stream(role, *frames);
            for sizes in [&[usize::MAX][..], &[1], &[2, 3]] {
                let received = receive_pieces(&mut open(role), &stream, sizes);
                assert_eq!((&received.events[..], received.error), (slice::from_ref(message), None));
            }
        }
    }
}

#[test]
fn control_frames_between_fragments_are_handed_out_at_once_and_in_order() {
    for role in ROLES {
        let frames = [
            Frame::text("a").unfinished(),
            Frame::ping("1"),
            Frame::continuation("b").unfinished(),
            Frame::pong("2"),
            Frame::ping(""),
            Frame::continuation("c"),
            Frame::ping("3"),
        ];
        let expected = [ping(b"1"), pong(b"2"), ping(b""), text("abc"), ping(b"3")];
        assert_eq!(hear(&mut open(role), &frames), expected);
        // Before the message has ended, control frames are delivered but no part of the message is.
        assert_eq!(hear(&mut open(role), &frames[..3]), expected[..1]);
    }
}

#[test]
fn a_ping_between_fragments_is_answered_before_the_message_ends() {
    for role in ROLES {
        let mut connection = open(role);
        hear(&mut connection, &[Frame::text("a").unfinished(), Frame::ping("now")]);
        assert_eq!(sent(&mut connection), [Frame::pong("now")]);
        assert_eq!(hear(&mut connection, &[Frame::continuation("b")]), [text("ab")]);
    }
}

#[test]
fn a_continuation_of_nothing_is_refused() {
    for role in ROLES {
        for before in [
            vec![],
            vec![Frame::text("whole")],
            vec![Frame::binary("a").unfinished(), Frame::continuation("b")],
            vec![Frame::ping("")],
        ] {
            for stray in [Frame::continuation("x"), Frame::continuation("").unfinished()] {
                let frames = [&before[..], &[stray]].concat();
                let error = error_of(&mut open(role), &frames);
                assert_eq!(error, Some(ProtocolError::UnexpectedContinuation), "{frames:?}");
            }
        }
    }
    assert_eq!(ProtocolError::UnexpectedContinuation.close_code().get(), 1002);
}

#[test]
fn a_new_message_inside_another_is_refused() {
    for role in ROLES {
        for intruder in [Frame::text("x"), Frame::binary(""), Frame::text("").unfinished()] {
            for between in [vec![], vec![Frame::continuation("b").unfinished()], vec![Frame::ping("p")]] {
                let frames =
                    [&[Frame::text("a").unfinished()], &between[..], slice::from_ref(&intruder)].concat();
                let error = error_of(&mut open(role), &frames);
                assert_eq!(error, Some(ProtocolError::InterruptedMessage), "{frames:?}");
            }
        }
    }
    assert_eq!(ProtocolError::InterruptedMessage.close_code().get(), 1002);
}

#[test]
fn a_broken_rule_is_seen_from_the_header_before_any_payload() {
    for role in ROLES {
        let mut connection = open(role);
        let stray = wire::header_for(role, true, wire::CONTINUATION, 100_000);
        let (last, most) = stray.split_last().unwrap();
        assert_eq!(events(&mut connection, most), []);
        let received = receive_pieces(&mut connection, &[*last], &[1]);
        assert_eq!(received.error, Some(ProtocolError::UnexpectedContinuation));
    }
}

#[test]
fn a_close_inside_a_message_closes_and_the_message_is_never_delivered() {
    for role in ROLES {
        let mut connection = open(role);
        let frames = [Frame::text("a").unfinished(), Frame::close(1000, "bye"), Frame::continuation("b")];
        let close = CloseFrame::new(CloseCode::NORMAL_CLOSURE, "bye").unwrap();
        assert_eq!(hear(&mut connection, &frames), [Event::Close(Some(close))]);
        assert!(connection.close_info().unwrap().was_clean);
    }
}

#[test]
fn chunks_go_out_as_fragments_and_only_control_frames_fit_between_them() {
    for role in ROLES {
        let mut connection = open(role);
        connection.send_chunk(Chunk::new("a")).unwrap();
        connection.ping(b"p").unwrap();
        hear(&mut connection, &[Frame::ping("q")]);
        assert!(connection.send("intruder").is_err());
        connection.send_chunk(Chunk::new("")).unwrap();
        connection.send_chunk(Chunk::last("b")).unwrap();
        connection.send("next").unwrap();
        let frames = sent(&mut connection);
        let data: Vec<_> = frames.iter().filter(|frame| frame.opcode < 8).cloned().collect();
        let expected = [
            Frame::text("a").unfinished(),
            Frame::continuation("").unfinished(),
            Frame::continuation("b"),
            Frame::text("next"),
        ];
        assert_eq!(data, expected);
        assert!(frames.contains(&Frame::ping("p")) && frames.contains(&Frame::pong("q")));
    }
}

#[test]
fn a_close_may_go_out_inside_a_message_that_is_being_sent() {
    let mut server = open(Role::Server);
    server.send_chunk(Chunk::new("a")).unwrap();
    server.close(CloseCode::GOING_AWAY, "").unwrap();
    assert_eq!(sent(&mut server), [Frame::text("a").unfinished(), Frame::close(1001, "")]);
}

#[test]
fn fragments_are_counted_by_message() {
    for role in ROLES {
        let mut connection = open_with(role, |config| config.max_fragments = 2);
        for _ in 0..5 {
            let frames =
                [Frame::text("a").unfinished(), Frame::ping(""), Frame::pong(""), Frame::continuation("b")];
            assert_eq!(hear(&mut connection, &frames).len(), 3);
        }
    }
}
