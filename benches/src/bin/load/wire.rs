//! The bytes of messages on the wire.

use crate::open::Target;

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Binary,
    Ascii,
    Mixed,
}

/// The bytes of a message and of the expected reply.
pub(crate) struct Exchange {
    pub(crate) request: Vec<u8>,
    pub(crate) reply: Vec<u8>,
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

impl Kind {
    pub(crate) fn parse_text(name: &str) -> Result<Self, &'static str> {
        match name {
            "ascii" => Ok(Self::Ascii),
            "mixed" => Ok(Self::Mixed),
            _ => Err("a text is ascii or mixed"),
        }
    }

    fn opcode(self) -> u8 {
        match self {
            Self::Binary => 2,
            Self::Ascii | Self::Mixed => 1,
        }
    }

    fn payload(self, len: usize) -> Vec<u8> {
        match self {
            Self::Binary => (0..len).map(|at| (at % 251) as u8).collect(),
            Self::Ascii => text("{\"id\":17,\"name\":\"value\",\"list\":[1,2,3]} ", len),
            // Characters of one, two, three and four bytes.
            Self::Mixed => {
                text("Grüße aus Köln, 世界你好, Привет мир, καλημέρα, 🌍🚀, and some plain words; ", len)
            }
        }
    }
}

/// Repeats a phrase. Full stops fill the space after the last complete character.
fn text(phrase: &str, len: usize) -> Vec<u8> {
    let mut text = phrase.repeat(len / phrase.len());
    let rest = (0..=len - text.len()).rev().find_map(|len| phrase.get(..len)).unwrap_or_default();
    text.push_str(rest);
    text.extend(std::iter::repeat_n('.', len - text.len()));
    text.into_bytes()
}

impl Exchange {
    /// Returns a masked frame and the same frame unmasked. Without a protocol the masked bytes come back unchanged.
    pub(crate) fn echo(target: &Target, kind: Kind, len: usize) -> Self {
        let payload = kind.payload(len);
        let request = masked(kind, &payload);
        let reply = if target.raw { request.clone() } else { plain(kind, &payload) };
        Self { request, reply }
    }

    /// Returns the frames for a broadcast. Without a protocol the bytes are those of a server's frame, because
    /// deliveries are far more frequent than sends.
    pub(crate) fn broadcast(target: &Target, kind: Kind, len: usize) -> Self {
        let payload = kind.payload(len);
        let reply = plain(kind, &payload);
        let request = if target.raw { reply.clone() } else { masked(kind, &payload) };
        Self { request, reply }
    }
}

fn masked(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(kind, payload.len(), 0x80);
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ KEY[at % 4]));
    frame
}

fn plain(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(kind, payload.len(), 0);
    frame.extend_from_slice(payload);
    frame
}

fn header(kind: Kind, len: usize, mask: u8) -> Vec<u8> {
    let first = 0x80 | kind.opcode();
    match len {
        0..=125 => vec![first, mask | len as u8],
        126..=0xFFFF => [&[first, mask | 126][..], &(len as u16).to_be_bytes()].concat(),
        _ => [&[first, mask | 127][..], &(len as u64).to_be_bytes()].concat(),
    }
}

/// Compares received bytes with the expected bytes, which repeat, and returns the number of complete replies.
/// `matched` is the number of bytes of the current reply that arrived before.
pub(crate) fn check(mut received: &[u8], reply: &[u8], matched: &mut usize) -> crate::Result<usize> {
    let mut whole = 0;
    while !received.is_empty() {
        let expected = &reply[*matched..];
        let len = expected.len().min(received.len());
        if received[..len] != expected[..len] {
            let at = received.iter().zip(expected).take_while(|(got, wanted)| got == wanted).count();
            return Err(format!(
                "the reply differs at byte {} of {}: {:#04x} came in place of {:#04x}",
                *matched + at,
                reply.len(),
                received[at],
                expected[at],
            )
            .into());
        }
        received = &received[len..];
        *matched += len;
        if *matched == reply.len() {
            *matched = 0;
            whole += 1;
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_the_length_asked_for_and_is_utf_8() {
        for kind in [Kind::Ascii, Kind::Mixed] {
            for len in (0..300).chain([16 << 10, 1 << 20]) {
                let payload = kind.payload(len);
                assert_eq!(payload.len(), len);
                assert!(String::from_utf8(payload).is_ok());
            }
        }
    }

    #[test]
    fn replies_are_counted_however_they_are_cut() {
        let stream = b"reply".repeat(7);
        for cut in 1..stream.len() {
            let mut matched = 0;
            let pieces = stream.chunks(cut).map(|piece| check(piece, b"reply", &mut matched).unwrap());
            assert_eq!(pieces.sum::<usize>(), 7);
            assert_eq!(matched, 0);
        }
    }

    #[test]
    fn a_wrong_byte_is_named_by_its_place() {
        let mut matched = 3;
        let error = check(b"lyreqly", b"reply", &mut matched).unwrap_err();
        assert_eq!(error.to_string(), "the reply differs at byte 2 of 5: 0x71 came in place of 0x70");
    }
}
