use alloc::vec::Vec;

/// Masks or unmasks `payload` in place (RFC 6455 section 5.3). Both are the same operation.
///
/// The first byte of `payload` is combined with the first byte of `key`. If a payload arrives in pieces, rotate the
/// key left by the number of bytes that came before.
///
/// ```
/// let mut payload = *b"\x7f\x9f\x4d\x51\x58";
/// ws_core::frame::apply_mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
/// assert_eq!(&payload, b"Hello");
/// ```
#[inline]
pub fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    /// Minimum size in bytes for which aligning vectors to cache lines is faster.
    const ALIGNED_FROM: usize = 2048;
    if payload.len() < ALIGNED_FROM { mask_in_blocks(payload, key) } else { mask_aligned(payload, key) }
}

#[inline(never)]
fn mask_aligned(payload: &mut [u8], key: [u8; 4]) {
    let before = payload.as_ptr().align_offset(BLOCK).min(payload.len());
    if let Some((head, body)) = payload.split_at_mut_checked(before) {
        mask_in_blocks(head, key);
        mask_in_blocks(body, rotate_key(key, before));
    }
}

#[inline]
fn mask_in_blocks(payload: &mut [u8], key: [u8; 4]) {
    let pattern = pattern(key);
    let (blocks, rest) = payload.as_chunks_mut::<BLOCK>();
    for block in blocks {
        *block = xor(*block, pattern);
    }
    for (byte, key) in rest.iter_mut().zip(pattern) {
        *byte ^= key;
    }
}

/// Width in bytes of the vector registers that all x86-64 and AArch64 processors have.
const BLOCK: usize = 16;

#[inline]
const fn pattern([a, b, c, d]: [u8; 4]) -> [u8; BLOCK] {
    [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d]
}

/// For a whole block, the compiler turns this into one vector instruction.
#[inline]
fn xor<const N: usize>(mut bytes: [u8; N], pattern: [u8; BLOCK]) -> [u8; N] {
    for (byte, key) in bytes.iter_mut().zip(pattern) {
        *byte ^= key;
    }
    bytes
}

/// Returns the key for the bytes after the first `consumed` bytes of a payload.
#[inline]
pub(crate) fn rotate_key(mut key: [u8; 4], consumed: usize) -> [u8; 4] {
    key.rotate_left(consumed % 4);
    key
}

/// Appends a masked copy of `payload`.
#[inline]
pub(crate) fn extend_masked(out: &mut Vec<u8>, payload: &[u8], key: [u8; 4]) {
    /// Maximum size in bytes of a payload that is masked while it is copied. A processor stalls when it reads in
    /// blocks the bytes that it has just written in blocks of another size.
    const MAX_SHORT: usize = 64;
    /// Size in bytes of the pieces. It is a multiple of four, so that every piece starts with the first byte of the
    /// key, and small enough that a piece is masked while it is still in the nearest cache.
    const PIECE: usize = 4096;
    if payload.len() <= MAX_SHORT {
        let pattern = pattern(key);
        let (blocks, rest) = payload.as_chunks::<BLOCK>();
        for block in blocks {
            out.extend_from_slice(&xor(*block, pattern));
        }
        let (words, rest) = rest.as_chunks::<4>();
        for word in words {
            out.extend_from_slice(&xor(*word, pattern));
        }
        out.extend(rest.iter().zip(pattern).map(|(byte, key)| byte ^ key));
        return;
    }
    out.reserve(payload.len());
    for piece in payload.chunks(PIECE) {
        let start = out.len();
        out.extend_from_slice(piece);
        apply_mask(out.get_mut(start..).unwrap_or_default(), key);
    }
}
