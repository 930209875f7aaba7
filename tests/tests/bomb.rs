//! Decompression bombs: messages that are small on the wire and huge when they are inflated. This is the only test of
//! its program, because it measures the memory of the whole process.

use std::{
    io::Write as _,
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use ws_std::{Config, Deflate, Error, ProtocolError};
use ws_tests::{
    Raw, RawListener, bounded,
    either::{Adapter, Client, Route, Server, WebSocket},
    kernel,
    wire::{self, Frame},
};

const LIMIT: usize = 1 << 20;
/// Maximum memory for the bombs: a message of the maximum size and the block from which it grows, codecs, buffers,
/// and the threads of both ends.
const COST: usize = 8 << 20;
const GIBIBYTE: usize = 1 << 30;
/// Length of the longest match in deflate.
const MATCH: usize = 258;

/// Returns a run of zeros with this number of matches, in as few bytes as deflate permits (RFC 1951): one literal,
/// and matches of 258 bytes at two bits each, a ratio of 1032 to 1. A context does not improve it. The first value
/// contains the bytes before the matches. Each byte of the matches is zero and stands for four of them.
fn bomb(matches: usize) -> (Vec<u8>, Vec<u8>) {
    let mut bits = Vec::new();
    let mut number = |value: usize, len: usize| bits.extend((0..len).map(|at| value >> at & 1 == 1));
    // Not the last block, with dynamic Huffman codes: 286 codes for literals and lengths, 1 for distances, and 19
    // lengths of the codes for code lengths. Of the latter, the code for "11 zeros or more" is the one bit 0. The
    // codes for the lengths 2 and 1 are the two bits 11 and 10.
    for (value, len) in [(0, 1), (2, 2), (286 - 257, 5), (0, 5), (19 - 4, 4)] {
        number(value, len);
    }
    for at in 0..19 {
        number(
            match at {
                2 => 1,
                15 | 17 => 2,
                _ => 0,
            },
            3,
        );
    }
    // Code lengths: two bits for the literal 0, none for the next 255 literals, two for the end of the block, none
    // for the next 28 codes, one for a match of 258, and one for the distance 1.
    for (value, len) in [(0b11, 2), (0, 1), (138 - 11, 7), (0, 1), (117 - 11, 7), (0b11, 2)] {
        number(value, len);
    }
    for (value, len) in [(0, 1), (28 - 11, 7), (0b01, 2), (0b01, 2)] {
        number(value, len);
    }
    // The literal, 10, and as many matches as fill the byte.
    number(0b01, 2);
    let mut matches = matches;
    assert!(bits.len().is_multiple_of(2));
    while !bits.len().is_multiple_of(8) {
        bits.extend([false, false]);
        matches -= 1;
    }
    assert!(matches.is_multiple_of(4), "{matches}");
    (bytes(&bits), vec![0; matches / 4])
}

fn bytes(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit))).collect()
}

/// The end of a block, 11, and the start of the block that ends every message. The rest of that block is not sent.
const END: u8 = 0b11;

/// Returns the whole bomb as one message.
fn message(matches: usize) -> Frame {
    let (start, zeros) = bomb(matches);
    Frame::new(Frame::BINARY, [&start[..], &zeros, &[END]].concat())
}

/// Returns a frame as the peer sends it.
fn encoded(frame: Frame, ours: Role) -> Vec<u8> {
    let compressed = frame.opcode != Frame::CONTINUATION;
    let mut bytes = if ours == Role::Server { frame.masked().encode() } else { frame.encode() };
    bytes[0] |= u8::from(compressed) << 6;
    bytes
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

fn configure(config: &mut Config) {
    config.max_message_size = LIMIT;
    config.deflate = Some(Deflate::default());
}

/// Opens a compressed connection and runs a function with both ends.
fn with_connection(adapter: Adapter, role: Role, run: impl FnOnce(&mut WebSocket, Raw)) {
    const EXTENSION: &str = "Sec-WebSocket-Extensions: permessage-deflate";
    match role {
        Role::Server => {
            let (route, take) = Route::hand_over(adapter);
            let server = Server::new(adapter).mount("/", route.configure(configure)).start();
            let mut raw = Raw::connect(server.address());
            raw.write(wire::request("/", &[EXTENSION]));
            let head = raw.head();
            assert!(wire::header(&head, "Sec-WebSocket-Extensions").is_some(), "{head}");
            run(&mut take().ws, raw);
        }
        Role::Client => {
            let listener = RawListener::new();
            let url = listener.url("/");
            let connecting = thread::spawn(move || Client::new(adapter, &url).configure(configure).connect());
            let mut raw = listener.accept();
            let extension =
                "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n";
            let response = wire::response(&raw.head()).replace("\r\n\r\n", extension);
            raw.write(response);
            run(&mut connecting.join().unwrap().unwrap(), raw);
        }
    }
}

/// Receives the output of the peer and expects the error for a message that is too big.
fn refuse(ws: &mut WebSocket, mut raw: Raw, write: impl FnOnce(&AtomicBool, &mut TcpStream) + Send) {
    let closed = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut writing = raw.socket().try_clone().unwrap();
        let closed = &closed;
        scope.spawn(move || write(closed, &mut writing));
        match ws.receive() {
            Err(Error::Protocol(ProtocolError::MessageTooLarge { limit: LIMIT, .. })) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(raw.frame().code_and_reason(), (1009, "message too large"));
        closed.store(true, Relaxed);
    });
}

#[test]
fn a_bomb_of_a_gibibyte_ends_with_1009_and_uses_little_memory() {
    // Two matches are in the first bytes, and each further byte has four.
    let matches = GIBIBYTE / MATCH / 4 * 4 + 6;
    let whole = message(matches);
    assert!(1 + matches * MATCH >= GIBIBYTE && whole.payload.len() < 1_040_500, "{}", whole.payload.len());
    let bombs = [Role::Server, Role::Client].map(|role| (role, encoded(whole.clone(), role)));
    let (start, _) = bomb(2);
    bounded(move || {
        kernel::forget_peak();
        let before = kernel::peak_memory();
        let cost_little = |what: &str| {
            let grown = kernel::peak_memory() - before;
            assert!(grown < COST, "{what}: {grown} bytes");
        };
        for adapter in [Adapter::Std, Adapter::Smol] {
            for (role, whole) in &bombs {
                with_connection(adapter, *role, |ws, raw| {
                    refuse(ws, raw, |_, stream| stream.write_all(whole).unwrap());
                });
                cost_little("whole");
                let begin = encoded(Frame::new(Frame::BINARY, start.clone()).unfinished(), *role);
                let go_on = encoded(Frame::new(Frame::CONTINUATION, [0; 64]).unfinished(), *role);
                with_connection(adapter, *role, |ws, raw| {
                    refuse(ws, raw, |closed, stream| {
                        stream.write_all(&begin).unwrap();
                        // Our end may be gone before the peer notices it.
                        while !closed.load(Relaxed) && stream.write_all(&go_on).is_ok() {}
                    });
                });
                cost_little("in fragments");
            }
        }
        // The largest bomb within the limit is received as a message.
        for adapter in [Adapter::Std, Adapter::Smol] {
            with_connection(adapter, Role::Server, |ws, raw| {
                raw.write(encoded(message(4_062), Role::Server));
                assert_eq!(ws.message().as_bytes(), vec![0; 1 + 4_062 * MATCH]);
            });
        }
    });
}
