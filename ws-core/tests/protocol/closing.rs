//! The closing handshake: codes, reasons, order (RFC 6455 sections 5.5.1, 7.1 and 7.4).

use ws_core::{
    Cause, Chunk, CloseCode, CloseFrame, Delivery, Event, ProtocolError, Role, SendError, Side, State,
};

use crate::support::{
    ROLES, closed, error_of, events, hear, open, open_with, ping, receive, receive_pieces, sent,
    wire::{self, CLOSE, Frame},
    written,
};

const NORMAL: CloseCode = CloseCode::NORMAL_CLOSURE;

/// Returns `true` if a Close may carry this code: RFC 6455 7.4.1, 7.4.2 and the registry that it established.
fn is_legal(code: u16) -> bool {
    let defined = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    defined.contains(&code) || (3000..5000).contains(&code)
}

#[test]
fn a_received_close_is_echoed_if_its_code_is_legal_and_refused_if_not() {
    for role in ROLES {
        for code in (0..5100).chain([9999, 65534, 65535]) {
            let mut connection = open(role);
            let received = receive(&mut connection, &Frame::close(code, "why").encode_for(role));
            let close_info = connection.close_info().unwrap();
            if is_legal(code) {
                assert_eq!((received.events, received.error), (vec![closed(code, "why")], None));
                assert_eq!(sent(&mut connection), [Frame::close(code, "")]);
                assert_eq!(
                    (close_info.code.get(), &close_info.reason[..], close_info.was_clean),
                    (code, "why", true)
                );
            } else {
                let error = ProtocolError::InvalidCloseCode(CloseCode::new(code));
                assert_eq!((received.events, received.error), (vec![], Some(error)));
                assert_eq!(sent(&mut connection)[0].payload[..2], 1002_u16.to_be_bytes());
                assert_eq!((close_info.code.get(), close_info.was_clean), (1002, false));
            }
        }
    }
}

#[test]
fn exactly_the_legal_codes_can_be_sent() {
    let legal: Vec<u16> = [1000, 1003, 1007, 1014, 3000, 4999].to_vec();
    let illegal = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
    for code in 0..=u16::MAX {
        let code = CloseCode::new(code);
        assert_eq!(code.is_sendable(), is_legal(code.get()), "{code}");
        assert!(!legal.contains(&code.get()) || code.is_sendable());
        assert!(!illegal.contains(&code.get()) || !code.is_sendable());
        let mut server = open(Role::Server);
        match server.close(code, "") {
            Ok(()) => assert_eq!(written(&mut server), Frame::close(code.get(), "").encode()),
            Err(error) => assert_eq!((error, code.is_sendable()), (SendError::InvalidCloseCode(code), false)),
        }
    }
}

#[test]
fn a_close_without_a_body_is_answered_without_one_and_means_1005() {
    for role in ROLES {
        let mut connection = open(role);
        assert_eq!(hear(&mut connection, &[Frame::new(CLOSE, [])]), [Event::Close(None)]);
        assert_eq!(sent(&mut connection), [Frame::new(CLOSE, [])]);
        let close_info = connection.close_info().unwrap();
        assert_eq!((close_info.code, &close_info.reason[..]), (CloseCode::NO_STATUS_RECEIVED, ""));
        assert!(close_info.was_clean);
    }
}

#[test]
fn a_close_with_one_byte_is_refused() {
    for role in ROLES {
        for byte in [0, 3, 255] {
            let error = error_of(&mut open(role), &[Frame::new(CLOSE, [byte])]);
            assert_eq!(error, Some(ProtocolError::ClosePayloadTooShort));
        }
    }
    assert_eq!(ProtocolError::ClosePayloadTooShort.close_code(), CloseCode::PROTOCOL_ERROR);
}

#[test]
fn a_reason_has_at_most_123_bytes() {
    for role in ROLES {
        for reason in ["", "r", &"r".repeat(123), &"ü".repeat(61)] {
            assert_eq!(hear(&mut open(role), &[Frame::close(1000, reason)]), [closed(1000, reason)]);
        }
        let error = error_of(&mut open(role), &[Frame::close(1000, &"r".repeat(124))]);
        assert_eq!(error, Some(ProtocolError::ControlFrameTooLong));
    }
}

#[test]
fn a_reason_that_is_not_utf8_is_refused_with_1007() {
    for role in ROLES {
        for reason in [
            &b"\xFF"[..],
            b"abc\x80",
            b"\xC3",
            b"\xED\xA0\x80",
            b"\xF4\x90\x80\x80",
            b"\xC0\xAF",
            b"ok\xE2\x82",
        ] {
            let payload = [&[0x03, 0xE8], reason].concat();
            for sizes in [&[usize::MAX][..], &[1]] {
                let stream = Frame::new(CLOSE, &payload[..]).encode_for(role);
                let mut connection = open(role);
                let received = receive_pieces(&mut connection, &stream, sizes);
                assert_eq!(
                    (received.events, received.error),
                    (vec![], Some(ProtocolError::InvalidCloseReason))
                );
                assert_eq!(sent(&mut connection)[0].payload[..2], 1007_u16.to_be_bytes());
            }
        }
    }
}

#[test]
fn a_close_cut_anywhere_is_one_close() {
    for role in ROLES {
        let stream = Frame::close(4321, "Auf Wiedersehen, Grüße").encode_for(role);
        for cut in 1..stream.len() {
            let mut connection = open(role);
            assert_eq!(events(&mut connection, &stream[..cut]), []);
            assert_eq!(connection.state(), State::Open);
            assert_eq!(events(&mut connection, &stream[cut..]), [closed(4321, "Auf Wiedersehen, Grüße")]);
        }
    }
}

#[test]
fn closes_that_cross_are_one_clean_end_and_neither_is_answered() {
    for role in ROLES {
        let mut connection = open(role);
        connection.close(NORMAL, "mine").unwrap();
        assert_eq!(hear(&mut connection, &[Frame::close(1001, "theirs")]), [closed(1001, "theirs")]);
        assert_eq!(sent(&mut connection), [Frame::close(1000, "mine")]);
        let close_info = connection.close_info().unwrap();
        // RFC 6455 7.1.5: the code of the connection is the received one.
        assert_eq!((close_info.code, &close_info.reason[..]), (CloseCode::GOING_AWAY, "theirs"));
        assert_eq!(
            (close_info.was_clean, close_info.initiator, close_info.cause),
            (true, Side::Local, Cause::Close)
        );
    }
}

#[test]
fn whatever_comes_after_a_close_is_ignored() {
    for role in ROLES {
        let behind = [
            Frame::text("late"),
            Frame::ping("p"),
            Frame::close(1001, "again"),
            Frame::text("x").reserved(7),
        ];
        let mut connection = open(role);
        let stream = wire::stream(role, [&Frame::close(1000, "")].into_iter().chain(&behind));
        assert_eq!(receive(&mut connection, &stream).events, [closed(1000, "")]);
        for frame in behind {
            let received = receive(&mut connection, &frame.encode_for(role));
            assert_eq!((received.events, received.error), (vec![], None));
        }
        assert_eq!(sent(&mut connection), [Frame::close(1000, "")]);
        assert_eq!(connection.close_info().unwrap().code, NORMAL);
    }
}

#[test]
fn after_its_own_close_an_endpoint_finds_errors_but_sends_no_second_close() {
    for role in ROLES {
        let mut connection = open(role);
        connection.close(NORMAL, "").unwrap();
        let error = error_of(&mut connection, &[Frame::continuation("")]);
        assert_eq!(error, Some(ProtocolError::UnexpectedContinuation));
        assert_eq!(sent(&mut connection), [Frame::close(1000, "")]);
        let close_info = connection.close_info().unwrap();
        assert_eq!(
            (close_info.code.get(), close_info.was_clean, close_info.initiator),
            (1002, false, Side::Local)
        );
        assert!(connection.wants_shutdown());
    }
}

#[test]
fn what_was_sent_before_a_close_goes_out_before_it() {
    for role in ROLES {
        let mut connection = open(role);
        connection.send("first").unwrap();
        connection.send(vec![7; 100_000]).unwrap();
        hear(&mut connection, &[Frame::ping("second")]);
        connection.close(NORMAL, "").unwrap();
        let frames = sent(&mut connection);
        let opcodes: Vec<_> = frames.iter().map(|frame| frame.opcode).collect();
        assert_eq!(opcodes, [wire::TEXT, wire::BINARY, wire::PONG, CLOSE]);
    }
}

#[test]
fn a_ping_glued_before_a_close_is_answered_before_the_echo() {
    for role in ROLES {
        let mut connection = open(role);
        let frames = [Frame::ping("a"), Frame::close(1000, "")];
        assert_eq!(hear(&mut connection, &frames), [ping(b"a"), closed(1000, "")]);
        assert_eq!(sent(&mut connection), [Frame::pong("a"), Frame::close(1000, "")]);
    }
}

/// Returns a connection whose latest pong has to wait, because earlier pongs and other bytes are not written yet.
fn with_a_pong_that_waits(role: Role) -> ws_core::Connection {
    let mut connection = open(role);
    hear(&mut connection, &[Frame::ping("first")]);
    // The transmit buffer is inspected, as by a write that would block, and no bytes are taken.
    assert!(bytes::Buf::has_remaining(&connection.transmit()));
    connection.send(&[0; 5000]).unwrap();
    hear(&mut connection, &[Frame::ping("second")]);
    connection
}

#[test]
fn a_pong_that_waited_goes_before_the_close() {
    let ends: [fn(&mut ws_core::Connection); 4] = [
        |connection| connection.close(NORMAL, "").unwrap(),
        |connection| connection.fail(NORMAL, "").unwrap(),
        |connection| drop(hear(connection, &[Frame::close(1000, "")])),
        |connection| assert!(error_of(connection, &[Frame::continuation("")]).is_some()),
    ];
    for role in ROLES {
        for end in ends {
            let mut connection = with_a_pong_that_waits(role);
            end(&mut connection);
            // Its ping arrived before the Close was queued.
            let frames = sent(&mut connection);
            let places: Vec<_> = frames.iter().map(|frame| frame.opcode).collect();
            assert_eq!(
                places.iter().position(|opcode| *opcode == CLOSE),
                Some(places.len() - 1),
                "{places:x?}"
            );
        }
    }
}

#[test]
fn in_chunks_a_close_comes_between_them() {
    for role in ROLES {
        let mut connection = open_with(role, |config| config.delivery = Delivery::Chunks);
        let frames = [Frame::text("begun").unfinished(), Frame::close(1001, "")];
        assert_eq!(hear(&mut connection, &frames), [Event::Chunk(Chunk::new("begun")), closed(1001, "")]);
    }
}

#[test]
fn a_close_code_is_shown_with_its_meaning() {
    for (code, shown) in [
        (1000, "1000 normal closure"),
        (1001, "1001 going away"),
        (1002, "1002 protocol error"),
        (1003, "1003 unsupported data"),
        (1004, "1004 unassigned code"),
        (1005, "1005 no status received"),
        (1006, "1006 abnormal closure"),
        (1007, "1007 invalid frame payload data"),
        (1008, "1008 policy violation"),
        (1009, "1009 message too big"),
        (1010, "1010 mandatory extension"),
        (1011, "1011 internal error"),
        (1012, "1012 service restart"),
        (1013, "1013 try again later"),
        (1014, "1014 bad gateway"),
        (1015, "1015 TLS handshake"),
        (2999, "2999 unassigned code"),
        (3000, "3000 registered code"),
        (4999, "4999 private code"),
    ] {
        assert_eq!(CloseCode::new(code).to_string(), shown);
        assert_eq!(u16::from(CloseCode::new(code)), code);
    }
    let frame = CloseFrame::new(NORMAL, "bye\n\u{1b}[31m").unwrap();
    assert_eq!(frame.to_string(), r"1000 normal closure (bye\n\u{1b}[31m)");
}
