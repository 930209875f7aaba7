use alloc::vec::Vec;

/// Masks or unmasks `payload` in place (RFC 6455 section 5.3); the two are the same operation.
///
/// The first byte of `payload` meets the first byte of `key`. For a payload that comes in pieces, rotate
/// the key left by the number of bytes that went before.
///
/// ```
/// let mut payload = *b"\x7f\x9f\x4d\x51\x58";
/// ws_core::frame::apply_mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
/// assert_eq!(&payload, b"Hello");
/// ```
#[inline]
pub fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    // One pattern for all widths: the compiler turns the 16-byte loop into vector instructions, and a
    // short payload is done after at most one block, three words and three bytes.
    let word = u32::from_ne_bytes(key);
    let pattern = u128::from(word) * 0x0000_0001_0000_0001_0000_0001_0000_0001;
    let (blocks, rest) = payload.as_chunks_mut::<16>();
    for block in blocks {
        *block = (u128::from_ne_bytes(*block) ^ pattern).to_ne_bytes();
    }
    let (words, rest) = rest.as_chunks_mut::<4>();
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// The key for what follows after `consumed` bytes of a payload.
#[inline]
pub(crate) fn rotate_key(mut key: [u8; 4], consumed: usize) -> [u8; 4] {
    key.rotate_left(consumed % 4);
    key
}

/// Appends a masked copy of `payload`, masking each piece while it is still in the nearest cache.
#[inline]
pub(crate) fn extend_masked(out: &mut Vec<u8>, payload: &[u8], key: [u8; 4]) {
    /// A multiple of four, so that every piece starts with the key's first byte.
    const PIECE: usize = 4096;
    out.reserve(payload.len());
    for piece in payload.chunks(PIECE) {
        let start = out.len();
        out.extend_from_slice(piece);
        apply_mask(out.get_mut(start..).unwrap_or_default(), key);
    }
}
