//! Inflating stops after a share of work and goes on with the next call.

use std::time::Duration;

use proptest::prelude::*;
use ws_core::testing::{assembled, receive_pieces};
use ws_core::{Connection, Delivery, Event, Message, ProtocolError, State, Timestamp, frame::Opcode};

use super::{compressing, hostile::zeros, masked, server_for_offer};

/// Upper bound of the bytes that one call inflates: its share, and one block.
const MOST_INFLATED: usize = (256 << 10) + (16 << 10);

fn server(change: impl FnOnce(&mut ws_core::Config)) -> Connection {
    let config = compressing(|config, _| {
        config.max_message_size = 64 << 20;
        change(config);
    });
    server_for_offer("permessage-deflate", &config).0
}

/// Passes the bytes to the connection once, and then calls it until it wants no more calls. Returns the events, and the
/// number of calls that returned none.
fn received(connection: &mut Connection, mut bytes: Vec<u8>) -> (Vec<Event<'static>>, usize) {
    let (mut events, mut empty) = (Vec::new(), 0);
    let mut input = &mut bytes[..];
    loop {
        match connection.receive(&mut input).unwrap() {
            Some(event) => events.push(event.into_owned()),
            None => {
                empty += 1;
                assert!(input.is_empty(), "the connection keeps the rest of the input");
                if !connection.wants_receive() {
                    return (events, empty);
                }
            }
        }
    }
}

#[test]
fn one_call_inflates_only_a_share_of_a_large_message() {
    const LEN: usize = 64 << 20;
    let mut server = server(|_| {});
    let (events, calls) = received(&mut server, masked(Opcode::Binary, true, true, &zeros(LEN)));
    assert!(matches!(&events[..], [Event::Message(message)] if message.len() == LEN));
    assert!((LEN / MOST_INFLATED..2 * LEN / MOST_INFLATED).contains(&calls), "{calls} calls");
}

#[test]
fn in_chunks_one_call_inflates_only_a_share_too() {
    const LEN: usize = 16 << 20;
    let mut server = server(|config| config.delivery = Delivery::Chunks);
    let (events, _) = received(&mut server, masked(Opcode::Binary, true, true, &zeros(LEN)));
    let sizes: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Chunk(chunk) => chunk.payload.len(),
            event => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), LEN);
    assert!(sizes.iter().all(|size| *size <= MOST_INFLATED), "{sizes:?}");
}

#[test]
fn chains_of_final_blocks_are_inflated_in_several_calls() {
    const LEN: usize = 1 << 20;
    // A final block without any byte, which takes hardly any time, and one with the letter "a".
    for (block, message, most) in [(&[0x03, 0x00][..], "", 272 << 10), (&[0x4B, 0x04, 0x00], "a", 16 << 10)] {
        let blocks = LEN / block.len();
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            let mut server = server(|config| config.delivery = delivery);
            let frame = masked(Opcode::Text, true, true, &block.repeat(blocks));
            let (events, calls) = received(&mut server, frame);
            let message = Message::from(message.repeat(blocks));
            let calls = calls + events.len();
            assert_eq!(assembled(events), [Event::Message(message)]);
            assert!(calls >= LEN / most, "{calls} calls");
        }
    }
}

#[test]
fn while_a_message_is_inflated_the_driver_does_not_read() {
    let mut server = server(|_| {});
    let mut bytes = masked(Opcode::Binary, true, true, &zeros(1 << 20));
    bytes.extend(masked(Opcode::Text, true, false, b"next"));
    assert_eq!(server.receive(&mut &mut bytes[..]), Ok(None));
    assert!(server.wants_receive() && !server.wants_read());
    // Input that arrives in spite of this stays behind the rest, and so does the end of the stream.
    let mut late = masked(Opcode::Text, true, false, b"late");
    assert_eq!(server.receive(&mut &mut late[..]), Ok(None));
    server.receive_eof();
    let (events, _) = received(&mut server, vec![]);
    let message = |text| Event::Message(Message::from(text));
    assert_eq!(events[1..], [message("next"), message("late")]);
    assert!(matches!(&events[0], Event::Message(message) if message.len() == 1 << 20));
    assert!(!server.wants_read() && server.close_info().is_some());
}

/// A driver may write and report the time between any two events. If it read then too, the kept input would grow.
#[test]
fn a_connection_that_keeps_input_wants_no_more() {
    let mut server = server(|_| {});
    let message = masked(Opcode::Text, true, true, &[0x4B, 0x04, 0x00].repeat(20_000));
    let mut stream = message.repeat(10);
    let mut messages = 0;
    for read in stream.chunks_mut(96 << 10) {
        assert!(server.wants_read() && !server.wants_receive());
        let mut input = read;
        loop {
            messages += usize::from(server.receive(&mut input).unwrap().is_some());
            if input.is_empty() && !server.wants_receive() {
                break;
            }
            assert!(!input.is_empty() || !server.wants_read());
        }
    }
    assert_eq!(messages, 10);
}

#[test]
fn a_message_that_is_inflated_slowly_is_not_stalled() {
    let mut server = server(|config| {
        config.stall_timeout = Some(Duration::from_secs(1));
        config.keepalive = None;
    });
    let mut bytes = masked(Opcode::Binary, true, true, &zeros(8 << 20));
    assert_eq!(server.receive(&mut &mut bytes[..]), Ok(None));
    let mut seconds = 0;
    while server.wants_receive() {
        seconds += 10;
        server.handle_timeout(Timestamp::from(Duration::from_secs(seconds)));
        assert_eq!(server.state(), State::Open);
        assert!(server.poll_timeout().is_none_or(|due| due > Timestamp::from(Duration::from_secs(seconds))));
        let _ = server.receive(&mut &mut [][..]).unwrap();
    }
    assert!(seconds > 100, "{seconds}");
}

#[test]
fn a_connection_that_is_closed_while_it_inflates_drops_the_rest() {
    let mut server = server(|_| {});
    let mut bytes = masked(Opcode::Binary, true, true, &zeros(8 << 20));
    assert_eq!(server.receive(&mut &mut bytes[..]), Ok(None));
    server.fail(ws_core::CloseCode::INTERNAL_ERROR, "enough").unwrap();
    assert_eq!(server.receive(&mut &mut [][..]), Ok(None));
    assert!(!server.wants_receive());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    // Messages, and the error at their end, depend on neither cuts nor shares.
    #[test]
    fn shares_of_work_depend_on_no_cuts(
        sizes in prop::collection::vec(1_usize..40_000, 1..6),
        len in 200_000_usize..2_000_000,
        is_valid in any::<bool>(),
    ) {
        let mut payload = zeros(len);
        let end = if is_valid { &[0, 0, 0xFF, 0xFF, 0x03, 0x00][..] } else { &[0, 0, 0xFF, 0xFF, 0x07] };
        payload.extend(end);
        let frames = [
            masked(Opcode::Ping, true, false, b"1"),
            masked(Opcode::Text, true, true, &payload),
            masked(Opcode::Ping, true, false, b"2"),
        ]
        .concat();
        let whole = receive_pieces(&mut server(|_| {}), &frames, &[usize::MAX]);
        let cut = receive_pieces(&mut server(|_| {}), &frames, &sizes);
        prop_assert_eq!(whole.error, (!is_valid).then_some(ProtocolError::InvalidCompression));
        prop_assert_eq!(whole.events.len(), if is_valid { 3 } else { 1 });
        prop_assert!(whole == cut);
    }
}
