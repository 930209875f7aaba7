//! Frames of a client that masks with a key of zeros, which changes nothing.

use flate2::{Compress, Compression, FlushCompress};

/// Returns a frame with this first byte, which contains the opcode and the flags.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len());
    frame.extend(payload);
    frame
}

/// Returns the header of a frame with this payload length.
pub fn header(first: u8, len: usize) -> Vec<u8> {
    let mut header = vec![first];
    match len {
        ..126 => header.push(0x80 | len as u8),
        126..0x1_0000 => {
            header.push(0x80 | 126);
            header.extend((len as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend((len as u64).to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

/// Returns this number of zeros, compressed as the payload of a message.
pub fn zeros(len: usize) -> Vec<u8> {
    let mut codec = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(len / 500 + 64);
    // It cannot fail: the space is sufficient, and a compressor accepts any input.
    let _ = codec.compress_vec(&vec![0; len], &mut out, FlushCompress::Sync);
    out.truncate(out.len().saturating_sub(4));
    out
}
