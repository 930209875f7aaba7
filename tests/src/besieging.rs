//! Messages that begin and never end, which an attacker sends on many connections.

use std::net::SocketAddr;

use crate::{
    Raw,
    wire::{self, Frame},
};

/// A deflate block with dynamic Huffman codes: a zero, two matches of 258 zeros, and no end. In this block a zero byte is
/// four matches of 258 zeros.
const ZEROS: [u8; 14] = [0xEC, 0xE0, 0x81, 0x00, 0x00, 0x00, 0x00, 0x80, 0x20, 0xEC, 0x4F, 0xBD, 0x48, 0x05];

/// Opens a WebSocket with compression.
pub fn open_compressed(address: SocketAddr) -> Raw {
    let mut raw = Raw::connect(address);
    raw.write(wire::request("/", &["Sec-WebSocket-Extensions: permessage-deflate"]));
    let head = raw.head();
    assert!(wire::header(&head, "Sec-WebSocket-Extensions").is_some(), "{head}");
    raw
}

/// Returns a fragment of a compressed message that inflates to 930 KiB. The message is not finished.
pub fn begun_compressed() -> Vec<u8> {
    let payload = [&ZEROS[..], &[0; 923]].concat();
    let mut bytes = Frame::new(Frame::BINARY, payload).unfinished().masked().encode();
    // RSV1 marks a compressed message (RFC 7692 section 6).
    bytes[0] |= 0x40;
    bytes
}

/// Returns a message of 1 MiB without its last byte.
pub fn begun_plain() -> Vec<u8> {
    let mut bytes = Frame::new(Frame::BINARY, vec![7; 1 << 20]).masked().encode();
    bytes.pop();
    bytes
}
