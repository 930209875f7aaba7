//! Replies: they are never refused for lack of room, and receiving pauses while too many of them wait.

use bytes::Buf;
use proptest::prelude::*;
use ws_core::{
    Chunk, CloseCode, Connection, Delivery, Event, Message, PreparedMessage, ProtocolError, Role, SendError,
    State,
};

use crate::support::{
    ROLES, assembled, cases, error_of, events, hear, open_with, pieces, sent, strategies, text,
    wire::{self, Frame},
    written,
};

/// Number of unwritten bytes of replies at which receiving pauses.
const MARK: usize = 100;

fn open(role: Role) -> Connection {
    open_with(role, |config| {
        config.write_buffer_size = MARK;
        config.keepalive = None;
    })
}

/// Returns a connection that has paused receiving.
fn paused(role: Role) -> Connection {
    let mut connection = open(role);
    connection.reply(vec![0; MARK]).unwrap();
    assert!(!connection.wants_read() && !connection.wants_receive());
    connection
}

/// Receives the kept input, until the connection asks for more.
fn kept(connection: &mut Connection) -> Vec<Event<'static>> {
    let mut events = Vec::new();
    for _ in 0..100 {
        if !connection.wants_receive() {
            return events;
        }
        let event = connection.receive(&mut &mut [][..]).unwrap();
        events.extend(event.map(Event::into_owned));
    }
    panic!("a driver that obeys `wants_receive` spins");
}

#[test]
fn a_reply_is_never_refused_for_lack_of_room() {
    for role in ROLES {
        let mut connection = open(role);
        connection.send(vec![0; 10 * MARK]).unwrap();
        assert_eq!(connection.send("more"), Err(SendError::BufferFull));
        connection.reply("answer").unwrap();
        connection.reply_prepared(&PreparedMessage::new("prepared answer")).unwrap();
        let frames = sent(&mut connection);
        assert_eq!(frames[1..], [Frame::text("answer"), Frame::text("prepared answer")]);
    }
}

#[test]
fn a_reply_is_refused_inside_another_message_and_after_the_end() {
    for role in ROLES {
        let mut connection = open(role);
        connection.send_chunk(Chunk::new("begun")).unwrap();
        assert_eq!(connection.reply("answer"), Err(SendError::MessageInProgress));
        let prepared = PreparedMessage::new("answer");
        assert_eq!(connection.reply_prepared(&prepared), Err(SendError::MessageInProgress));
        connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        assert_eq!(connection.reply("answer"), Err(SendError::Closed));
        assert_eq!(connection.reply_prepared(&prepared), Err(SendError::Closed));
        assert_eq!(sent(&mut connection).len(), 2, "what was refused is not queued");
    }
}

#[test]
fn receiving_pauses_at_the_mark_exactly() {
    for (payload, pauses) in [(MARK - 3, false), (MARK - 2, true)] {
        let mut server = open(Role::Server);
        server.reply(vec![0; payload]).unwrap();
        assert_eq!(server.buffered(), payload + 2);
        assert_eq!(server.wants_read(), !pauses);
        let mut server = open(Role::Server);
        server.reply_prepared(&PreparedMessage::new(vec![0; payload])).unwrap();
        assert_eq!(server.wants_read(), !pauses);
    }
}

#[test]
fn own_messages_never_pause_receiving() {
    for role in ROLES {
        let mut connection = open(role);
        connection.send(vec![0; 100 * MARK]).unwrap();
        assert!(connection.wants_read());
        assert_eq!(hear(&mut connection, &[Frame::text("a"), Frame::text("b")]), [text("a"), text("b")]);
        // A short reply behind them does not either.
        connection.reply("answer").unwrap();
        assert!(connection.wants_read());
    }
}

#[test]
fn a_pause_ends_when_replies_were_written_and_not_when_they_were_taken() {
    for role in ROLES {
        let mut connection = paused(role);
        let mut output = ws_core::Transmit::default();
        connection.take_transmit(&mut output);
        assert!(!connection.wants_read(), "taken is not written");
        connection.written(output.remaining() - MARK);
        assert!(!connection.wants_read());
        connection.written(1);
        assert!(connection.wants_read());
    }
}

#[test]
fn discarding_the_output_ends_a_pause() {
    for role in ROLES {
        let mut connection = paused(role);
        assert_eq!(hear(&mut connection, &[Frame::text("last words")]), []);
        connection.discard_output();
        assert_eq!(kept(&mut connection), [text("last words")]);
        assert!(connection.wants_read());
    }
}

#[test]
fn kept_input_comes_before_new_input() {
    for role in ROLES {
        let mut connection = paused(role);
        assert_eq!(hear(&mut connection, &[Frame::text("a"), Frame::text("b")]), []);
        written(&mut connection);
        assert!(connection.wants_receive());
        assert_eq!(hear(&mut connection, &[Frame::text("c")]), [text("a"), text("b"), text("c")]);
        assert!(!connection.wants_receive());
    }
}

#[test]
fn the_end_of_the_stream_waits_behind_kept_input() {
    for role in ROLES {
        let mut connection = paused(role);
        assert_eq!(hear(&mut connection, &[Frame::text("a"), Frame::text("b")]), []);
        connection.receive_eof();
        assert_eq!(connection.state(), State::Open);
        written(&mut connection);
        assert!(!connection.wants_read(), "the stream has ended");
        let first = connection.receive(&mut &mut [][..]).unwrap().map(Event::into_owned);
        assert_eq!(first, Some(text("a")));
        connection.reply("answer to a").unwrap();
        assert_eq!(kept(&mut connection), [text("b")]);
        assert_eq!(connection.state(), State::Closing, "the answer is still written");
        assert_eq!(sent(&mut connection), [Frame::text("answer to a")]);
        assert!(connection.is_finished());
    }
}

#[test]
fn input_behind_a_kept_close_is_dropped_and_not_asked_for_again() {
    for role in ROLES {
        for ended in [false, true] {
            let mut connection = paused(role);
            let frames = [Frame::text("a"), Frame::close(1000, ""), Frame::text("junk")];
            assert_eq!(hear(&mut connection, &frames), []);
            if ended {
                connection.receive_eof();
            }
            written(&mut connection);
            assert_eq!(kept(&mut connection).len(), 2);
            assert_eq!(sent(&mut connection), [Frame::close(1000, "")]);
            assert_eq!(connection.is_finished(), ended);
        }
    }
}

#[test]
fn a_broken_rule_in_kept_input_is_found_when_it_is_received() {
    for role in ROLES {
        for ended in [false, true] {
            let mut connection = paused(role);
            assert_eq!(error_of(&mut connection, &[Frame::continuation(""), Frame::text("junk")]), None);
            if ended {
                connection.receive_eof();
            }
            written(&mut connection);
            let error = Err(ProtocolError::UnexpectedContinuation);
            assert_eq!(connection.receive(&mut &mut [][..]), error);
            assert!(!connection.wants_receive());
            assert_eq!(sent(&mut connection)[0].payload[..2], 1002_u16.to_be_bytes());
            assert_eq!(connection.is_finished(), ended);
        }
    }
}

#[test]
fn failing_a_paused_connection_drops_what_it_keeps() {
    for role in ROLES {
        for ended in [false, true] {
            let mut connection = paused(role);
            assert_eq!(hear(&mut connection, &[Frame::text("a")]), []);
            if ended {
                connection.receive_eof();
            }
            connection.fail(CloseCode::POLICY_VIOLATION, "").unwrap();
            written(&mut connection);
            assert_eq!(kept(&mut connection), []);
            assert_eq!(connection.is_finished(), ended);
        }
    }
}

#[test]
fn a_large_message_is_not_read_in_place_while_receiving_is_paused() {
    let mut server = open(Role::Server);
    let frame = Frame::binary(vec![7; 200_000]).encode_for(Role::Server);
    assert_eq!(events(&mut server, &frame[..100_000]), []);
    server.reply(vec![0; MARK]).unwrap();
    assert_eq!(server.receive_in_place(|_| ()), None);
    assert_eq!(events(&mut server, &frame[100_000..150_000]), []);
    written(&mut server);
    // Kept input comes first.
    assert_eq!(server.receive_in_place(|_| ()), None);
    assert_eq!(kept(&mut server), []);
    assert_eq!(server.receive_in_place(|_| ()), Some(()));
    assert_eq!(events(&mut server, &frame[150_000..]), [Event::Message(Message::from(vec![7; 200_000]))]);
}

#[test]
fn a_message_that_was_read_in_place_comes_before_the_end_of_the_stream() {
    for pauses in [false, true] {
        let mut server = open(Role::Server);
        let frame = Frame::binary(vec![7; 200_000]).encode_for(Role::Server);
        assert_eq!(events(&mut server, &frame[..150_000]), []);
        let mut rest = &frame[150_000..];
        while !rest.is_empty() {
            let read = server.receive_in_place(|payload| {
                let (read, more) = rest.split_at(rest.len().min(payload.capacity() - payload.len()));
                payload.extend_from_slice(read);
                rest = more;
            });
            assert_eq!(read, Some(()));
        }
        if pauses {
            server.reply(vec![0; MARK]).unwrap();
        }
        server.receive_eof();
        assert_eq!(server.state(), State::Open);
        written(&mut server);
        assert_eq!(kept(&mut server), [Event::Message(Message::from(vec![7; 200_000]))]);
        assert!(server.is_finished());
    }
}

/// Returns all events of a stream and the largest number of unwritten bytes. Each message is answered with itself,
/// and the transport accepts `accepts` bytes after each read.
fn converse(
    connection: &mut Connection,
    stream: &[u8],
    cuts: &[usize],
    accepts: usize,
) -> (Vec<Event<'static>>, usize) {
    let (mut events, mut most) = (Vec::new(), 0);
    let mut reads = pieces(stream, cuts).into_iter().peekable();
    let mut turns = 0;
    while reads.peek().is_some() || connection.wants_receive() || connection.wants_write() {
        let mut read = Vec::new();
        if connection.wants_read() {
            read.extend(reads.next().into_iter().flatten());
        }
        let mut input = &mut read[..];
        while let Ok(Some(event)) = connection.receive(&mut input) {
            if let Event::Message(message) | Event::Chunk(Chunk { payload: message, .. }) = &event {
                let _ = connection.reply(message);
            }
            events.push(event.into_owned());
        }
        assert!(input.is_empty(), "`receive` takes all input, paused or not");
        most = most.max(connection.buffered());
        let mut output = connection.transmit();
        let writable = output.remaining().min(accepts);
        output.advance(writable);
        drop(output);
        turns += 1;
        assert!(turns < 1_000_000, "no progress");
    }
    (events, most)
}

proptest! {
    #![proptest_config(cases(200))]

    // Invariant: regardless of how the input is split and how little the transport accepts at a time, the events are
    // those of a connection that never pauses, in the same order. The unwritten bytes stay below the mark plus one
    // reply and the pongs for the received pings.
    #[test]
    fn pausing_loses_and_reorders_nothing_and_bounds_the_output(
        (role, stream) in strategies::role().prop_flat_map(|role| (Just(role), strategies::any_stream(role))),
        cuts in strategies::cuts(),
        accepts in 1..200_usize,
        chunks: bool,
    ) {
        let delivery = if chunks { Delivery::Chunks } else { Delivery::Messages };
        let open = |mark| open_with(role, |config| {
            config.write_buffer_size = mark;
            config.delivery = delivery;
            config.keepalive = None;
        });
        let mut connection = open(MARK);
        let (received, most) = converse(&mut connection, &stream, &cuts, accepts);
        let expected = crate::support::receive(&mut open(usize::MAX), &stream);
        prop_assert_eq!(connection.receive(&mut &mut [][..]).err(), expected.error);
        let largest = expected.events.iter().map(|event| match event {
            Event::Message(message) => message.len(),
            Event::Chunk(chunk) => chunk.payload.len(),
            _ => 0,
        }).max().unwrap_or(0);
        prop_assert_eq!(assembled(received), assembled(expected.events));
        // Frame headers, a Close, and pongs, which have a separate limit.
        let control = 4096 + 3 * 139;
        prop_assert!(most <= MARK + largest + 14 + control, "{most} bytes");
    }
}

#[test]
fn everything_that_a_peer_sends_in_one_write_is_answered_in_order() {
    for role in ROLES {
        let frames: Vec<_> = (0..50).map(|number| Frame::binary(vec![number; 1000])).collect();
        let stream = wire::stream(role, frames.iter().chain([&Frame::close(1000, "")]));
        let mut connection = open_with(role, |config| config.write_buffer_size = 4096);
        let mut input = stream.clone();
        let mut input = &mut input[..];
        let mut output = Vec::new();
        loop {
            while let Some(event) = connection.receive(&mut input).unwrap() {
                if let Event::Message(message) = event {
                    connection.reply(message).unwrap();
                }
            }
            assert!(connection.buffered() <= 4096 + 1000 + 14, "{} bytes wait", connection.buffered());
            if !connection.wants_write() {
                break;
            }
            output.extend(written(&mut connection));
        }
        let mut answers = wire::frames(&output).unwrap();
        answers.iter_mut().for_each(|frame| frame.key = None);
        assert_eq!(answers.pop(), Some(Frame::close(1000, "")));
        assert_eq!(answers, frames);
    }
}
