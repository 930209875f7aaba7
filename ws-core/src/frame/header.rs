use alloc::vec::Vec;
use core::{fmt, ops::Deref};

use super::Opcode;
use crate::{ProtocolError, excerpt::Excerpt};

/// A frame header (RFC 6455 section 5.2): all bytes before the payload.
///
/// ```
/// use ws_core::frame::{Header, Opcode};
///
/// // RFC 6455 section 5.7: a single-frame masked text message with the text "Hello".
/// let (header, length) = Header::decode(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f])?.unwrap();
/// assert_eq!(length, 6);
/// assert_eq!(header.opcode, Opcode::Text);
/// assert_eq!(header.masking_key, Some([0x37, 0xfa, 0x21, 0x3d]));
/// assert_eq!(header.payload_len, 5);
/// assert_eq!(&header.encode()[..], &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d]);
/// # Ok::<(), ws_core::ProtocolError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// `true` if this frame ends its message.
    pub fin: bool,
    /// First reserved bit. With permessage-deflate, it marks a compressed message.
    pub rsv1: bool,
    /// Second reserved bit. No supported extension uses it.
    pub rsv2: bool,
    /// Third reserved bit. No supported extension uses it.
    pub rsv3: bool,
    /// The opcode: the kind of frame.
    pub opcode: Opcode,
    /// Masking key of the payload. Every frame from a client has one, and no frame from a server has one.
    pub masking_key: Option<[u8; 4]>,
    /// Length of the payload in bytes, below 2^63.
    pub payload_len: u64,
}

impl Header {
    /// Maximum length of a header in bytes: two, eight for the length, four for the masking key.
    pub const MAX_LEN: usize = 14;

    /// Creates the header of an unfragmented, unmasked frame.
    ///
    /// ```
    /// use ws_core::frame::{Header, Opcode};
    /// assert_eq!(&Header::new(Opcode::Binary, 300).encode()[..], &[0x82, 126, 1, 44]);
    /// ```
    #[must_use]
    #[inline]
    pub const fn new(opcode: Opcode, payload_len: u64) -> Self {
        Self { fin: true, rsv1: false, rsv2: false, rsv3: false, opcode, masking_key: None, payload_len }
    }

    /// Decodes the header at the start of `bytes`. Returns the header and its length in bytes, or `Ok(None)` if more
    /// bytes are needed.
    ///
    /// # Errors
    ///
    /// Returns a [`ProtocolError`] as soon as the bytes prove it: for a reserved opcode, a fragmented or overlong
    /// control frame, or a length that is not minimally encoded or has bit 63 set. Reserved bits, masking and sizes
    /// depend on the connection, which checks them.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else { return Ok(None) };
        let Some(opcode) = Opcode::from_bits(first & 0x0F) else {
            return Err(ProtocolError::ReservedOpcode(first & 0x0F));
        };
        let fin = first & 0x80 != 0;
        let short_len = second & 0x7F;
        if opcode.is_control() {
            // RFC 6455 5.5: "MUST have a payload length of 125 bytes or less and MUST NOT be fragmented".
            if !fin {
                return Err(ProtocolError::FragmentedControlFrame);
            }
            if short_len > 125 {
                return Err(ProtocolError::ControlFrameTooLong);
            }
        }
        let (payload_len, rest) = match short_len {
            126 => {
                let Some((&len, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (minimal(u64::from(u16::from_be_bytes(len)), 126)?, rest)
            }
            127 => {
                let Some((&len, rest)) = rest.split_first_chunk() else { return Ok(None) };
                let len = u64::from_be_bytes(len);
                // RFC 6455 5.2: "the most significant bit MUST be 0".
                if len >> 63 != 0 {
                    return Err(ProtocolError::LengthOverflow);
                }
                (minimal(len, 0x1_0000)?, rest)
            }
            len => (u64::from(len), rest),
        };
        let (masking_key, rest) = if second & 0x80 == 0 {
            (None, rest)
        } else {
            let Some((&key, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (Some(key), rest)
        };
        let header = Self {
            fin,
            rsv1: first & 0x40 != 0,
            rsv2: first & 0x20 != 0,
            rsv3: first & 0x10 != 0,
            opcode,
            masking_key,
            payload_len,
        };
        Ok(Some((header, bytes.len().wrapping_sub(rest.len()))))
    }

    /// Encodes this header with the shortest form of its length. The fields are written without validation: a
    /// fragmented Close is encoded just like a legal frame.
    #[must_use]
    #[inline]
    pub fn encode(&self) -> EncodedHeader {
        let first = u8::from(self.fin) << 7
            | u8::from(self.rsv1) << 6
            | u8::from(self.rsv2) << 5
            | u8::from(self.rsv3) << 4
            | self.opcode as u8;
        // Assemble the header in a register. A processor stalls when it reads a whole word that it has just written
        // byte by byte.
        let (mask_bit, key, key_len) = match self.masking_key {
            None => (0, 0, 0),
            Some(key) => (0x80, u32::from_le_bytes(key), 4_u8),
        };
        let key = u128::from(key);
        let (bits, len) = match self.payload_len {
            len @ 0..=125 => (u128::from(len) << 8 | key << 16, 2_u8),
            len @ 126..=0xFFFF => {
                let [.., high, low] = len.to_be_bytes();
                let len = u128::from(u16::from_le_bytes([high, low]));
                (126 << 8 | len << 16 | key << 32, 4)
            }
            len => (127 << 8 | u128::from(len.swap_bytes()) << 16 | key << 80, 10),
        };
        let bits = bits | mask_bit << 8 | u128::from(first);
        EncodedHeader { bytes: bits.to_le_bytes(), len: len.wrapping_add(key_len) }
    }
}

/// RFC 6455 5.2: "the minimal number of bytes MUST be used to encode the length".
#[inline]
const fn minimal(len: u64, least: u64) -> Result<u64, ProtocolError> {
    if len < least { Err(ProtocolError::NonMinimalLength) } else { Ok(len) }
}

/// The bytes of an encoded [`Header`]. It dereferences to these bytes.
#[derive(Clone, Copy)]
pub struct EncodedHeader {
    /// Two bytes more than the longest header, to fill a whole register.
    bytes: [u8; 16],
    len: u8,
}

impl EncodedHeader {
    /// Appends the bytes to `out`.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        let end = out.len().saturating_add(usize::from(self.len));
        // Copying all bytes and truncating is cheaper than copying a number of bytes that is not known at compile
        // time.
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("fin", &self.fin)
            .field("rsv1", &self.rsv1)
            .field("rsv2", &self.rsv2)
            .field("rsv3", &self.rsv3)
            .field("opcode", &self.opcode)
            .field("masking_key", &self.masking_key.as_ref().map(|key| Excerpt(key)))
            .field("payload_len", &self.payload_len)
            .finish()
    }
}

impl fmt::Debug for EncodedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EncodedHeader").field(&Excerpt(self)).finish()
    }
}

impl Deref for EncodedHeader {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}
