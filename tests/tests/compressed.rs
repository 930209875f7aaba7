//! Compressed messages from a hand-written codec: the guard against bombs, and messages that are cut.

use ws_std::Deflate;
use ws_tests::{
    Raw,
    either::{Adapter, Route, Running, Server},
    wire::{self, Frame},
    with_both_adapters,
};

with_both_adapters! {
    a_ratio_within_the_guard_is_accepted_however_the_message_is_cut
    a_message_that_is_cut_behind_a_block_is_refused
}

/// Starts a server that answers each message with three bytes, and a client that may compress messages.
fn connected(adapter: Adapter, max_ratio: Option<u32>) -> (Running, Raw) {
    let server = Server::new(adapter).mount("/", Route::answer_each(adapter, 3)).configure(|config| {
        let mut deflate = Deflate::default();
        deflate.max_ratio = max_ratio;
        config.deflate = Some(deflate);
    });
    let server = server.start();
    let mut raw = Raw::connect(server.address());
    raw.write(wire::request("/", &["Sec-WebSocket-Extensions: permessage-deflate"]));
    let head = raw.head();
    assert!(wire::header(&head, "Sec-WebSocket-Extensions").is_some(), "{head}");
    (server, raw)
}

/// Returns the bytes of a frame with the bit of compression (RFC 7692 section 6).
fn compressed(opcode: u8, payload: Vec<u8>) -> Vec<u8> {
    let mut frame = Frame::new(opcode, payload).masked().encode();
    frame[0] |= 0x40;
    frame
}

/// Returns zeros in a block with fixed codes, behind them noise in a stored block, and the end of the message
/// (RFC 1951 section 3.2): 264,951 bytes that compress to a quarter, at a ratio of 158 first.
fn zeros_and_noise() -> Vec<u8> {
    const MATCHES: usize = 775;
    const NOISE: u16 = 65_000;
    let mut bits = Vec::new();
    // Codes begin with their highest bit, and all but the types of blocks are codes here.
    let mut code = |value: u16, len: u16| bits.extend((0..len).rev().map(|at| value >> at & 1 == 1));
    // Not the last block, fixed codes.
    code(0b010, 3);
    // The byte 0, as often as 258 bytes from one byte before, and the end of the block.
    code(0x30, 8);
    for _ in 0..MATCHES {
        code(0b1100_0101, 8);
        code(0, 5);
    }
    code(0, 7);
    // Not the last block, stored.
    code(0, 3);
    let to_byte = |byte: &[bool]| byte.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
    let mut bytes: Vec<u8> = bits.chunks(8).map(to_byte).collect();
    bytes.extend(NOISE.to_le_bytes());
    bytes.extend((!NOISE).to_le_bytes());
    let mut state = 7_u32;
    bytes.extend((0..NOISE).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }));
    // The empty stored block without its last four bytes (RFC 7692 section 7.2.1).
    bytes.push(0);
    bytes
}

fn a_ratio_within_the_guard_is_accepted_however_the_message_is_cut(adapter: Adapter) {
    let frame = compressed(Frame::BINARY, zeros_and_noise());
    for piece in [usize::MAX, 20_000, 1460] {
        let (_server, mut raw) = connected(adapter, Some(10));
        for piece in frame.chunks(piece) {
            raw.write_and_see_read(piece);
        }
        let answer = raw.frame();
        assert_eq!((answer.opcode, &*answer.payload), (Frame::BINARY, &[7; 3][..]), "pieces of {piece}");
    }
}

fn a_message_that_is_cut_behind_a_block_is_refused(adapter: Adapter) {
    // A stored block with "Hello", which the empty block at the end of the message has to follow.
    let hello = [&[0x00, 0x05, 0x00, 0xFA, 0xFF][..], b"Hello", &[0x00]].concat();
    let (_server, mut raw) = connected(adapter, None);
    raw.write(compressed(Frame::TEXT, hello.clone()));
    assert_eq!(raw.frame().payload, [7; 3]);
    raw.write(compressed(Frame::TEXT, hello[..hello.len() - 1].to_vec()));
    assert_eq!(raw.frame().code_and_reason().0, 1007);
}
