//! Frames written and read by hand after RFC 6455 section 5.2, so that a mistake in the core's own
//! encoder cannot cancel out one in its decoder.

use ws_core::Role;

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// A frame, legal or not; its payload is never masked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    /// RSV1 to RSV3 as the bits 4, 2 and 1.
    pub(crate) rsv: u8,
    pub(crate) opcode: u8,
    pub(crate) key: Option<[u8; 4]>,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, rsv: 0, opcode, key: None, payload: payload.into() }
    }

    pub(crate) fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(TEXT, payload)
    }

    pub(crate) fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(BINARY, payload)
    }

    pub(crate) fn continuation(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(CONTINUATION, payload)
    }

    pub(crate) fn ping(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(PING, payload)
    }

    pub(crate) fn pong(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(PONG, payload)
    }

    pub(crate) fn close(code: u16, reason: &str) -> Self {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_bytes());
        Self::new(CLOSE, payload)
    }

    /// The same frame as a fragment that another one follows.
    pub(crate) fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    pub(crate) fn reserved(mut self, rsv: u8) -> Self {
        self.rsv = rsv;
        self
    }

    pub(crate) fn masked(mut self, key: [u8; 4]) -> Self {
        self.key = Some(key);
        self
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = header(self.fin, self.rsv, self.opcode, self.key, self.payload.len() as u64);
        bytes.extend_from_slice(&mask(&self.payload, self.key));
        bytes
    }

    /// What a peer of an endpoint of this role sends: masked if the receiver is a server.
    pub(crate) fn encode_for(&self, receiver: Role) -> Vec<u8> {
        let key = (receiver == Role::Server).then_some([0x37, 0xfa, 0x21, 0x3d]);
        Self { key, ..self.clone() }.encode()
    }
}

/// The bytes of a frame's header, with the shortest form of its length.
pub(crate) fn header(fin: bool, rsv: u8, opcode: u8, key: Option<[u8; 4]>, len: u64) -> Vec<u8> {
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

/// The header of a frame to an endpoint of this role, which need not be followed by its payload.
pub(crate) fn header_for(receiver: Role, fin: bool, opcode: u8, len: u64) -> Vec<u8> {
    header(fin, 0, opcode, (receiver == Role::Server).then_some([1, 2, 3, 4]), len)
}

/// RFC 6455 5.3, byte by byte.
pub(crate) fn mask(payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let key = key.unwrap_or_default();
    payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect()
}

/// Frames back to back, as a peer of an endpoint of this role sends them.
pub(crate) fn stream<'f>(receiver: Role, frames: impl IntoIterator<Item = &'f Frame>) -> Vec<u8> {
    frames.into_iter().flat_map(|frame| frame.encode_for(receiver)).collect()
}

/// Takes a stream of whole frames apart; for what the core has sent.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (first, second) = (bytes[0], bytes[1]);
        let (len, header_len) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            127 => (u64::from_be_bytes(bytes[2..10].try_into().unwrap()), 10),
            len => (u64::from(len), 2),
        };
        bytes = &bytes[header_len..];
        let key = (second & 0x80 != 0).then(|| bytes[..4].try_into().unwrap());
        bytes = &bytes[if key.is_some() { 4 } else { 0 }..];
        let (payload, rest) = bytes.split_at(len as usize);
        frames.push(Frame {
            fin: first & 0x80 != 0,
            rsv: first >> 4 & 7,
            opcode: first & 15,
            key,
            payload: mask(payload, key),
        });
        bytes = rest;
    }
    frames
}
