//! Implementations of `Arbitrary`, which create values from the bytes of a fuzzer.

use core::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::{Ending, Frame, Head};
use crate::{
    Chunk, CloseCode, CloseFrame, Message, Role,
    frame::{Header, Opcode},
};

impl<'a> Arbitrary<'a> for Role {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        Ok(if bytes.arbitrary()? { Self::Client } else { Self::Server })
    }
}

impl<'a> Arbitrary<'a> for Opcode {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        bytes
            .choose(&[Self::Continuation, Self::Text, Self::Binary, Self::Close, Self::Ping, Self::Pong])
            .copied()
    }
}

/// Creates a valid header: a control frame is unfragmented and short, and a length is below 2^63.
impl<'a> Arbitrary<'a> for Header {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let opcode: Opcode = bytes.arbitrary()?;
        let [mut fin, rsv1, rsv2, rsv3] = bytes.arbitrary()?;
        let masking_key = bytes.arbitrary()?;
        let mut payload_len = match bytes.int_in_range(0..=3)? {
            0 => u64::from(bytes.arbitrary::<u8>()?),
            1 => u64::from(bytes.arbitrary::<u16>()?),
            2 => u64::from(bytes.arbitrary::<u32>()?),
            _ => bytes.arbitrary::<u64>()? >> 1,
        };
        if opcode.is_control() {
            fin = true;
            payload_len %= 126;
        }
        Ok(Self { fin, rsv1, rsv2, rsv3, opcode, masking_key, payload_len })
    }
}

/// Creates a valid or invalid frame without a key. [`Frame::encode_for`] adds a key if one is required.
impl<'a> Arbitrary<'a> for Frame {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let first: u8 = bytes.arbitrary()?;
        Ok(Self {
            fin: first & 0x80 != 0,
            rsv: first >> 4 & 7,
            opcode: first & 15,
            key: None,
            payload: bytes.arbitrary()?,
        })
    }
}

impl<'a> Arbitrary<'a> for Message<'static> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        Ok(if bytes.arbitrary()? {
            Message::from(bytes.arbitrary::<String>()?)
        } else {
            Message::from(bytes.arbitrary::<Vec<u8>>()?)
        })
    }
}

impl<'a> Arbitrary<'a> for Chunk<'static> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self { payload: bytes.arbitrary()?, last: bytes.arbitrary()? })
    }
}

/// Creates any code, including codes that must not be sent.
impl<'a> Arbitrary<'a> for CloseCode {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let usual = [1000, 1001, 1007, 1011, 3000, 4999, 999, 1005, 1015];
        Ok(Self::new(if bytes.ratio(3, 4)? { *bytes.choose(&usual)? } else { bytes.arbitrary()? }))
    }
}

/// Creates a Close that a peer may send: with a valid code and a short reason.
impl<'a> Arbitrary<'a> for CloseFrame<'static> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let code: CloseCode = bytes.arbitrary()?;
        let reason: &str = bytes.arbitrary()?;
        let reason: String = reason.chars().take(CloseFrame::MAX_REASON / 4).collect();
        let code = if code.is_sendable() { code } else { CloseCode::NORMAL_CLOSURE };
        Ok(Self { code, reason: reason.into() })
    }
}

impl<'a> Arbitrary<'a> for Ending {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match bytes.int_in_range(0..=4)? {
            0 => Self::Close(bytes.arbitrary()?, bytes.arbitrary()?),
            1 => Self::Fail(bytes.arbitrary()?, bytes.arbitrary()?),
            2 => Self::Eof,
            3 => Self::Wait(Duration::from_millis(bytes.int_in_range(0..=10_000)?)),
            _ => Self::Receive(bytes.arbitrary()?),
        })
    }
}

/// Creates a request, or a response to that of [`Head::request`], with lines removed, repeated, corrupted and added.
impl<'a> Arbitrary<'a> for Head {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let request = Self::request();
        let head = if bytes.arbitrary()? { Self::response_to(&request.bytes()) } else { request };
        let mut lines = head.into_lines();
        for _ in 0..bytes.int_in_range(0..=3)? {
            let at = bytes.choose_index(lines.len())?;
            let text: &[u8] = bytes.arbitrary()?;
            match bytes.int_in_range(0..=4)? {
                0 if lines.len() > 1 => drop(lines.remove(at)),
                0 | 1 => lines.push(lines[at].clone()),
                2 => lines[at].extend_from_slice(text),
                3 => lines[at] = text.to_vec(),
                _ => lines.push(text.to_vec()),
            }
        }
        Ok(Self::new(lines))
    }
}
