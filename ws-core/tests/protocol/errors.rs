//! All protocol errors: the name of each error, the Close that answers it, and its permanence.

use ws_core::{CloseCode, Config, Connection, ProtocolError, Role};

use crate::support::{
    ROLES, error_of, open_with, receive, sent,
    wire::{CLOSE, Frame, header_for},
};

/// A rule, a way to violate it, and the resulting error.
struct Rule {
    error: ProtocolError,
    /// Input of an endpoint of this role.
    bytes: fn(Role) -> Vec<u8>,
    code: u16,
    section: &'static str,
    sentence: &'static str,
}

fn masked_wrongly(receiver: Role) -> Vec<u8> {
    let frame = Frame::text("a");
    if receiver == Role::Server { frame.encode() } else { frame.masked([1; 4]).encode() }
}

fn rules(role: Role) -> Vec<Rule> {
    let mask_error = match role {
        Role::Server => ProtocolError::UnmaskedFrame,
        Role::Client => ProtocolError::MaskedFrame,
    };
    let mask_sentence = match role {
        Role::Server => {
            "the peer sent a frame without a mask, which a client has to use, see RFC 6455 section 5.1"
        }
        Role::Client => {
            "the peer sent a frame with a mask, which a server must not use, see RFC 6455 section 5.1"
        }
    };
    let rule = |error, code, section, sentence, bytes| Rule { error, bytes, code, section, sentence };
    vec![
        rule(
            ProtocolError::ReservedBits,
            1002,
            "5.2",
            "the peer sent a frame with a reserved bit set that no extension uses, see RFC 6455 section 5.2",
            |role| Frame::text("a").reserved(4).encode_for(role),
        ),
        rule(
            ProtocolError::ReservedOpcode(11),
            1002,
            "5.2",
            "the peer sent a frame with a reserved opcode (0xb), see RFC 6455 section 5.2",
            |role| Frame::new(11, "").encode_for(role),
        ),
        rule(
            ProtocolError::FragmentedControlFrame,
            1002,
            "5.5",
            "the peer sent a fragmented control frame, see RFC 6455 section 5.5",
            |role| Frame::ping("").unfinished().encode_for(role),
        ),
        rule(
            ProtocolError::ControlFrameTooLong,
            1002,
            "5.5",
            "the peer sent a control frame longer than 125 bytes, see RFC 6455 section 5.5",
            |role| Frame::ping([0; 126]).encode_for(role),
        ),
        rule(
            ProtocolError::NonMinimalLength,
            1002,
            "5.2",
            "the peer sent a frame whose payload length is not in its shortest form, see RFC 6455 section 5.2",
            |_| vec![0x81, 0xFE, 0, 125],
        ),
        rule(
            ProtocolError::LengthOverflow,
            1002,
            "5.2",
            "the peer sent a frame whose payload length has bit 63 set, see RFC 6455 section 5.2",
            |_| vec![0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ),
        rule(mask_error, 1002, "5.1", mask_sentence, masked_wrongly),
        rule(
            ProtocolError::UnexpectedContinuation,
            1002,
            "5.4",
            "the peer sent a continuation without a message in progress, see RFC 6455 section 5.4",
            |role| Frame::continuation("a").encode_for(role),
        ),
        rule(
            ProtocolError::InterruptedMessage,
            1002,
            "5.4",
            "the peer sent a new message before the previous one ended, see RFC 6455 section 5.4",
            |role| Frame::text("a").unfinished().encode_for(role).repeat(2),
        ),
        rule(
            ProtocolError::InvalidUtf8,
            1007,
            "8.1",
            "the peer sent a text message that is not valid UTF-8, see RFC 6455 section 8.1",
            |role| Frame::text([0xFF]).encode_for(role),
        ),
        rule(
            ProtocolError::ClosePayloadTooShort,
            1002,
            "5.5.1",
            "the peer sent a Close with a payload of one byte, see RFC 6455 section 5.5.1",
            |role| Frame::new(CLOSE, [3]).encode_for(role),
        ),
        rule(
            ProtocolError::InvalidCloseCode(CloseCode::new(1005)),
            1002,
            "7.4",
            "the peer sent a Close with a code that must not be sent (1005), see RFC 6455 section 7.4",
            |role| Frame::close(1005, "").encode_for(role),
        ),
        rule(
            ProtocolError::InvalidCloseReason,
            1007,
            "5.5.1",
            "the peer sent a Close with a reason that is not valid UTF-8, see RFC 6455 section 5.5.1",
            |role| Frame::new(CLOSE, [3, 0xE8, 0xFF]).encode_for(role),
        ),
        rule(
            ProtocolError::FrameTooLarge { size: 1001, limit: 1000 },
            1009,
            "10.4",
            "the peer sent a frame too large (1001 bytes, max_frame_size allows 1000), see RFC 6455 section 10.4",
            |role| header_for(role, true, 2, 1001),
        ),
        rule(
            ProtocolError::MessageTooLarge { size: 1600, limit: 1500 },
            1009,
            "10.4",
            "the peer sent a message too large (1600 bytes, max_message_size or the free memory allows 1500), see RFC 6455 \
             section 10.4",
            |role| {
                let first = Frame::binary([0; 800]).unfinished().encode_for(role);
                [first, header_for(role, true, 0, 800)].concat()
            },
        ),
        rule(
            ProtocolError::TooManyFragments { limit: 3 },
            1008,
            "10.4",
            "the peer sent a message in too many fragments (max_fragments allows 3), see RFC 6455 section 10.4",
            |role| {
                let first = Frame::text("").unfinished().encode_for(role);
                [first, Frame::continuation("").unfinished().encode_for(role).repeat(3)].concat()
            },
        ),
    ]
}

fn limited(role: Role) -> Connection {
    open_with(role, |config: &mut Config| {
        config.max_frame_size = 1000;
        config.max_message_size = 1500;
        config.max_fragments = 3;
    })
}

#[test]
fn each_violation_has_an_error_a_close_code_a_section_and_a_text() {
    for role in ROLES {
        for rule in rules(role) {
            let mut connection = limited(role);
            let received = receive(&mut connection, &(rule.bytes)(role));
            assert_eq!((received.events, received.error), (vec![], Some(rule.error)));
            assert_eq!(rule.error.close_code().get(), rule.code, "{:?}", rule.error);
            assert_eq!(rule.error.section(), rule.section, "{:?}", rule.error);
            assert_eq!(rule.error.to_string(), rule.sentence);
            let frames = sent(&mut connection);
            assert_eq!((frames.len(), frames[0].opcode), (1, CLOSE));
            assert_eq!(frames[0].payload[..2], rule.code.to_be_bytes());
            let reason = String::from_utf8(frames[0].payload[2..].to_vec()).unwrap();
            assert!(rule.sentence.contains(&reason), "the peer is told the same: {reason}");
        }
    }
}

#[test]
fn an_error_stays_and_is_answered_with_one_close_whatever_follows() {
    for role in ROLES {
        for rule in rules(role) {
            let mut connection = limited(role);
            receive(&mut connection, &(rule.bytes)(role));
            for frame in
                [Frame::text("late"), Frame::ping("late"), Frame::close(1000, ""), Frame::continuation("")]
            {
                assert_eq!(error_of(&mut connection, &[frame]), Some(rule.error));
                assert_eq!(connection.receive(&mut &mut [][..]), Err(rule.error), "even without input");
            }
            assert!(connection.close(CloseCode::NORMAL_CLOSURE, "").is_err());
            connection.fail(CloseCode::NORMAL_CLOSURE, "").unwrap();
            receive(&mut connection, &(rule.bytes)(role));
            let frames = sent(&mut connection);
            assert_eq!((frames.len(), frames[0].opcode), (1, CLOSE));
            assert_eq!(connection.close_info().unwrap().code, rule.error.close_code());
            connection.receive_eof();
            assert_eq!(connection.receive(&mut &mut [][..]), Err(rule.error), "even after the end");
        }
    }
}

#[test]
fn events_before_a_broken_rule_are_handed_out() {
    for role in ROLES {
        for rule in rules(role) {
            let mut connection = limited(role);
            let before = [Frame::text("a"), Frame::ping("b"), Frame::pong("c")];
            let mut bytes = crate::support::wire::stream(role, &before);
            bytes.extend((rule.bytes)(role));
            let received = receive(&mut connection, &bytes);
            assert_eq!((received.events.len(), received.error), (3, Some(rule.error)));
            let opcodes: Vec<_> = sent(&mut connection).iter().map(|frame| frame.opcode).collect();
            assert_eq!(opcodes, [crate::support::wire::PONG, CLOSE]);
        }
    }
}
