use std::sync::Arc;

use flate2::{Decompress, FlushDecompress, Status};
use ws_core::{
    Connection, Delivery, Event, Message, ProtocolError, Role,
    testing::{self, Frame, assembled, receive_pieces, wire},
};

use crate::settings::{compressed, compressing, config, sizes, split_first};

/// Checks valid and invalid compressed messages against the codec over the whole message at once, with memory bounded
/// by the limit. A compressed message decompresses to the original.
pub fn inflate(data: &[u8]) {
    let (byte, rest) = split_first(data);
    let (sizes, payload) = sizes(rest);
    let settings = compressing(config(byte), |deflate| deflate.client_context_takeover = byte & 64 != 0);
    let limit = settings.max_message_size;
    let connection = || compressed(Role::Server, settings.clone());

    let stream = frames(payload, &sizes);
    let expected = whole(payload, limit.min(1 << 20));
    let mut server = connection();
    if byte & 3 == 1 || stream_exceeds(&settings, &stream) {
        // Without a limit a decompression bomb may use any amount of memory. Other targets check the frames.
        let _ = receive_pieces(&mut server, &stream, &sizes);
    } else {
        let received = receive_pieces(&mut server, &stream, &sizes);
        compare(&expected, &assembled(received.events), received.error);
        costs(connection(), stream, limit);
    }
    round_trip(byte, payload);
}

/// Returns the payload as one binary message in fragments.
fn frames(payload: &[u8], sizes: &[usize]) -> Vec<u8> {
    let pieces = testing::pieces(payload, sizes);
    let mut frames: Vec<_> = pieces.iter().map(|piece| Frame::continuation(*piece).unfinished()).collect();
    frames.push(Frame::continuation([]));
    frames[0].opcode = wire::BINARY;
    frames[0].rsv = 4;
    wire::stream(Role::Server, &frames)
}

fn stream_exceeds(config: &ws_core::Config, stream: &[u8]) -> bool {
    let frames = wire::frames(stream).unwrap();
    (frames.len() > config.max_fragments && config.delivery == Delivery::Messages)
        || frames.iter().any(|frame| frame.payload.len() > config.max_frame_size)
        || frames.iter().map(|frame| frame.payload.len()).sum::<usize>() > config.max_message_size
}

/// The meaning of a message.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Bytes(Vec<u8>),
    TooLarge,
    Invalid,
}

/// Inflates a whole message at once by RFC 7692 7.2.2: four bytes are appended, and the result is inflated. In a
/// complete message a block ends with these bytes. Another block behind them is decoded as usual.
fn whole(payload: &[u8], limit: usize) -> Meaning {
    const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];
    const STORED_X: [u8; 6] = [0, 1, 0, 0xFE, 0xFF, b'X'];
    let mut inflated = Vec::with_capacity(limit + 16);
    let mut codec = Decompress::new_with_window_bits(false, 15);
    let mut ended = payload.is_empty();
    let mut before_tail = 0;
    for (part, is_tail) in [(payload, false), (&[&TAIL[..], &STORED_X].concat()[..], true)] {
        if is_tail {
            before_tail = inflated.len();
            if ended {
                return Meaning::Bytes(inflated);
            }
        }
        let mut rest = part;
        while !rest.is_empty() {
            let before = codec.total_in();
            let status = codec.decompress_vec(rest, &mut inflated, FlushDecompress::Sync);
            let consumed = (codec.total_in() - before) as usize;
            rest = &rest[consumed..];
            if !is_tail && inflated.len() > limit {
                return Meaning::TooLarge;
            }
            match status {
                Err(_) => return Meaning::Invalid,
                Ok(Status::StreamEnd) => {
                    // RFC 7692 7.2.3.4: another block may follow the final one.
                    codec.reset(false);
                    ended = true;
                }
                Ok(_) if consumed == 0 && !rest.is_empty() => return Meaning::Invalid,
                Ok(_) => ended = false,
            }
        }
    }
    let is_whole = inflated.pop() == Some(b'X') && inflated.len() == before_tail;
    if is_whole { Meaning::Bytes(inflated) } else { Meaning::Invalid }
}

fn compare(expected: &Meaning, events: &[Event<'_>], error: Option<ProtocolError>) {
    let actual = match (events, error) {
        ([Event::Message(Message::Binary(bytes))], None) => Meaning::Bytes(bytes.to_vec()),
        ([], Some(ProtocolError::MessageTooLarge { .. })) => Meaning::TooLarge,
        ([], Some(ProtocolError::InvalidCompression)) => Meaning::Invalid,
        other => panic!("{other:?}"),
    };
    assert_eq!(actual, *expected);
}

/// Returns the maximum memory: the input, twice the limit, a block and an inflater.
fn costs(mut connection: Connection, mut stream: Vec<u8>, limit: usize) {
    let len = stream.len();
    let costs = allocation_counter::measure(|| {
        let mut input = &mut stream[..];
        while connection.receive(&mut input).is_ok_and(|event| event.is_some() || connection.wants_receive())
        {
        }
    });
    let most = 3 * limit + 4 * len + (128 << 10);
    assert!(costs.bytes_max <= most as u64, "{} bytes, {most} allowed", costs.bytes_max);
}

fn round_trip(byte: u8, payload: &[u8]) {
    let config: Arc<_> = compressing(config(0), |deflate| {
        deflate.client_context_takeover = byte & 64 != 0;
        deflate.level = 1 + byte % 9;
        deflate.client_max_window_bits = 9 + byte % 7;
    });
    let mut pair = crate::settings::handshake(config.clone(), config);
    for _ in 0..2 {
        pair.client().send(payload).expect("room for a message");
        let event = pair.next_event();
        assert_eq!(event, Some((Role::Server, Event::Message(Message::from(payload)))));
    }
}
