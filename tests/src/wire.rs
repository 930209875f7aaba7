//! An independent implementation of frames and opening handshakes by RFC 6455, without the tested crates.

use std::io::{self, Read};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

/// The key of the example in RFC 6455.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Returns a client's request to open a WebSocket, with optional additional header lines.
pub fn request(path: &str, headers: &[&str]) -> String {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    );
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request
}

/// Returns a server's response to the request with this head.
pub fn response(request: &str) -> String {
    let key = header(request, "Sec-WebSocket-Key").expect("a key");
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    )
}

/// Returns the value of a header.
pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Returns the accept value for a key (RFC 6455 section 1.3).
pub fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

/// A frame (RFC 6455 section 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// `true` for the last frame of a message.
    pub fin: bool,
    /// The opcode.
    pub opcode: u8,
    /// The masking key, if the payload is masked on the wire.
    pub mask: Option<[u8; 4]>,
    /// The unmasked payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Opcode of a continuation.
    pub const CONTINUATION: u8 = 0;
    /// Opcode of text.
    pub const TEXT: u8 = 1;
    /// Opcode of binary.
    pub const BINARY: u8 = 2;
    /// Opcode of a Close.
    pub const CLOSE: u8 = 8;
    /// Opcode of a ping.
    pub const PING: u8 = 9;
    /// Opcode of a pong.
    pub const PONG: u8 = 10;

    /// Creates an unmasked, unfragmented frame.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, opcode, mask: None, payload: payload.into() }
    }

    /// Creates a text frame.
    pub fn text(text: &str) -> Self {
        Self::new(Self::TEXT, text)
    }

    /// Creates a Close frame.
    pub fn close(code: u16, reason: &str) -> Self {
        Self::new(Self::CLOSE, [&code.to_be_bytes(), reason.as_bytes()].concat())
    }

    /// Returns the frame as a fragment that others follow.
    pub fn unfinished(self) -> Self {
        Self { fin: false, ..self }
    }

    /// Returns the frame with a mask, as a client sends it.
    pub fn masked(self) -> Self {
        Self { mask: Some([0x37, 0xFA, 0x21, 0x3D]), ..self }
    }

    /// Returns the code and the reason of a Close frame.
    pub fn code_and_reason(&self) -> (u16, &str) {
        assert_eq!(self.opcode, Self::CLOSE, "{self:?}");
        let (code, reason) = self.payload.split_first_chunk().expect("a code");
        (u16::from_be_bytes(*code), str::from_utf8(reason).expect("UTF-8"))
    }

    /// Returns the bytes of the frame on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.fin) << 7 | self.opcode];
        let mask_bit = u8::from(self.mask.is_some()) << 7;
        match self.payload.len() {
            len @ ..126 => out.push(mask_bit | len as u8),
            len @ 126..65536 => {
                out.push(mask_bit | 126);
                out.extend((len as u16).to_be_bytes());
            }
            len => {
                out.push(mask_bit | 127);
                out.extend((len as u64).to_be_bytes());
            }
        }
        if let Some(mask) = self.mask {
            out.extend(mask);
        }
        let start = out.len();
        out.extend(&self.payload);
        unmask(&mut out[start..], self.mask);
        out
    }

    /// Reads the next frame. Returns `None` at the end of the stream.
    pub fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut first = [0];
        if stream.read(&mut first)? == 0 {
            return Ok(None);
        }
        let [second] = array(stream)?;
        let len = match second & 0x7F {
            126 => u64::from(u16::from_be_bytes(array(stream)?)),
            127 => u64::from_be_bytes(array(stream)?),
            len => u64::from(len),
        };
        let mask = if second & 0x80 != 0 { Some(array(stream)?) } else { None };
        let mut payload = vec![0; usize::try_from(len).expect("a sane length")];
        stream.read_exact(&mut payload)?;
        unmask(&mut payload, mask);
        assert_eq!(first[0] & 0x70, 0, "reserved bits");
        Ok(Some(Self { fin: first[0] & 0x80 != 0, opcode: first[0] & 0x0F, mask, payload }))
    }
}

fn array<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn unmask(payload: &mut [u8], mask: Option<[u8; 4]>) {
    let Some(mask) = mask else { return };
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}
