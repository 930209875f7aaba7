//! Frames, valid or not, encoded and decoded by hand from RFC 6455 section 5.2. This module shares no code with
//! [`frame`](crate::frame), so that a mistake in one encoder cannot hide one in its decoder.

use std::fmt;

use crate::{
    Role,
    excerpt::{Beginning, Excerpt},
};

/// The opcode of the next fragment of a message.
pub const CONTINUATION: u8 = 0x0;
/// The opcode of the first frame of a text message.
pub const TEXT: u8 = 0x1;
/// The opcode of the first frame of a binary message.
pub const BINARY: u8 = 0x2;
/// The opcode of a Close.
pub const CLOSE: u8 = 0x8;
/// The opcode of a ping.
pub const PING: u8 = 0x9;
/// The opcode of a pong.
pub const PONG: u8 = 0xA;

/// A frame, valid or not. Its payload is never masked here.
///
/// ```
/// use ws_core::{Role, testing::Frame};
///
/// assert_eq!(Frame::text("Hello").encode(), b"\x81\x05Hello");
/// let forbidden = Frame::ping("too long".repeat(100)).unfinished().reserved(0b100);
/// // Frames from a client to a server are masked.
/// assert_eq!(forbidden.encode_for(Role::Server)[..2], [0x49, 0x80 | 126]);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// `true` if the frame ends its message.
    pub fin: bool,
    /// RSV1 to RSV3 as the bits 4, 2 and 1.
    pub rsv: u8,
    /// The opcode, four bits.
    pub opcode: u8,
    /// Masking key of the payload on the wire.
    pub key: Option<[u8; 4]>,
    /// The unmasked payload.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("fin", &self.fin)
            .field("rsv", &self.rsv)
            .field("opcode", &self.opcode)
            .field("key", &self.key.as_ref().map(|key| Excerpt(key)))
            .field("payload", &Excerpt(&self.payload))
            .finish()
    }
}

impl Frame {
    /// Creates an unfragmented, unmasked frame without reserved bits.
    #[must_use]
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, rsv: 0, opcode, key: None, payload: payload.into() }
    }

    /// Creates a text message, or its first frame.
    #[must_use]
    pub fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(TEXT, payload)
    }

    /// Creates a binary message, or its first frame.
    #[must_use]
    pub fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(BINARY, payload)
    }

    /// Creates the last fragment of a message.
    #[must_use]
    pub fn continuation(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(CONTINUATION, payload)
    }

    /// Creates a ping.
    #[must_use]
    pub fn ping(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(PING, payload)
    }

    /// Creates a pong.
    #[must_use]
    pub fn pong(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(PONG, payload)
    }

    /// Creates a Close with a code and a reason.
    #[must_use]
    pub fn close(code: u16, reason: &str) -> Self {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_bytes());
        Self::new(CLOSE, payload)
    }

    /// Clears the FIN bit, so that further fragments have to follow.
    #[must_use]
    pub fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    /// Sets these reserved bits, RSV1 to RSV3 as 4, 2 and 1.
    #[must_use]
    pub fn reserved(mut self, rsv: u8) -> Self {
        self.rsv = rsv;
        self
    }

    /// Sets the masking key that is used on the wire.
    #[must_use]
    pub fn masked(mut self, key: [u8; 4]) -> Self {
        self.key = Some(key);
        self
    }

    /// Returns the bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = header(self.fin, self.rsv, self.opcode, self.key, self.payload.len() as u64);
        bytes.extend_from_slice(&mask(&self.payload, self.key));
        bytes
    }

    /// Returns the bytes that a peer of an endpoint of this role sends. They are masked if the receiver is a server.
    #[must_use]
    pub fn encode_for(&self, receiver: Role) -> Vec<u8> {
        let key = (receiver == Role::Server).then_some([0x37, 0xfa, 0x21, 0x3d]);
        Self { key, ..self.clone() }.encode()
    }
}

impl AsRef<Self> for Frame {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// Returns the bytes of a frame header, with the shortest form of its length.
#[must_use]
pub fn header(fin: bool, rsv: u8, opcode: u8, key: Option<[u8; 4]>, len: u64) -> Vec<u8> {
    let mut bytes = vec![u8::from(fin) << 7 | rsv << 4 | opcode];
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    if len < 126 {
        bytes.push(mask_bit | len as u8);
    } else if len < 65536 {
        bytes.push(mask_bit | 126);
        bytes.extend_from_slice(&(len as u16).to_be_bytes());
    } else {
        bytes.push(mask_bit | 127);
        bytes.extend_from_slice(&len.to_be_bytes());
    }
    bytes.extend(key.into_iter().flatten());
    bytes
}

/// Returns the header of a frame to an endpoint of this role. The payload does not have to follow.
#[must_use]
pub fn header_for(receiver: Role, fin: bool, opcode: u8, len: u64) -> Vec<u8> {
    header(fin, 0, opcode, (receiver == Role::Server).then_some([1, 2, 3, 4]), len)
}

/// Masks a payload byte by byte (RFC 6455 5.3).
#[must_use]
pub fn mask(payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let key = key.unwrap_or_default();
    payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect()
}

/// Returns consecutive frames as a peer of an endpoint of this role sends them.
#[must_use]
pub fn stream<'f>(receiver: Role, frames: impl IntoIterator<Item = &'f Frame>) -> Vec<u8> {
    frames.into_iter().flat_map(|frame| frame.encode_for(receiver)).collect()
}

/// Parses a stream of whole frames, such as the output of a connection.
///
/// ```
/// use ws_core::testing::{Frame, wire};
///
/// let output = [Frame::text("Hello").encode(), Frame::ping("?").encode()].concat();
/// assert_eq!(wire::frames(&output)?, [Frame::text("Hello"), Frame::ping("?")]);
/// let cut = wire::frames(&output[..output.len() - 1]).unwrap_err();
/// assert_eq!((cut.frames, cut.rest), (vec![Frame::text("Hello")], vec![0x89, 1]));
/// # Ok::<(), wire::TruncatedFrame>(())
/// ```
///
/// # Errors
///
/// Returns [`TruncatedFrame`] with the frames before it if the last frame is truncated.
pub fn frames(mut bytes: &[u8]) -> Result<Vec<Frame>, TruncatedFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let Some((frame, rest)) = split_frame(bytes) else {
            return Err(TruncatedFrame { frames, rest: bytes.to_vec() });
        };
        frames.push(frame);
        bytes = rest;
    }
    Ok(frames)
}

/// A stream of frames with a truncated last frame.
#[derive(Clone, PartialEq, Eq)]
pub struct TruncatedFrame {
    /// The complete frames.
    pub frames: Vec<Frame>,
    /// The bytes of the truncated frame.
    pub rest: Vec<u8>,
}

impl fmt::Debug for TruncatedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TruncatedFrame")
            .field("frames", &Beginning(&self.frames))
            .field("rest", &Excerpt(&self.rest))
            .finish()
    }
}

impl fmt::Display for TruncatedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (frames, rest) = (self.frames.len(), self.rest.len());
        write!(f, "the stream ends within a frame, {rest} bytes after {frames} complete frames")
    }
}

impl std::error::Error for TruncatedFrame {}

/// Returns the first frame of a stream and the bytes after it, if the frame is complete.
#[must_use]
pub fn split_frame(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let (HeaderParts { fin, rsv, opcode, key, len }, rest) = split_header(bytes)?;
    let (payload, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some((Frame { fin, rsv, opcode, key, payload: mask(payload, key) }, rest))
}

/// The fields of a frame's header.
pub(super) struct HeaderParts {
    pub(super) fin: bool,
    pub(super) rsv: u8,
    pub(super) opcode: u8,
    pub(super) key: Option<[u8; 4]>,
    pub(super) len: u64,
}

/// Returns the first header of a stream and the bytes after it, if the header is complete.
pub(super) fn split_header(bytes: &[u8]) -> Option<(HeaderParts, &[u8])> {
    let &[first, second, ..] = bytes else { return None };
    let (len_size, short) = match second & 0x7F {
        126 => (2, 0),
        127 => (8, 0),
        len => (0, u64::from(len)),
    };
    let rest = &bytes[2..];
    let (len, rest) = rest.split_at_checked(len_size)?;
    let len = len.iter().fold(short, |len, byte| len << 8 | u64::from(*byte));
    let (key, rest) = rest.split_at_checked(if second & 0x80 == 0 { 0 } else { 4 })?;
    let key = key.try_into().ok();
    let (fin, rsv, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 15);
    Some((HeaderParts { fin, rsv, opcode, key, len }, rest))
}
