//! A reference decoder of streams, written directly from RFC 6455 section 5. It has the whole stream at once, copies
//! freely, keeps no state and does not depend on the internals of the core.

use std::{borrow::Cow, str::from_utf8};

use crate::{CloseCode, CloseFrame, Config, Delivery, Event, Message, Role};

/// Returns the events of a stream, and the code of the Close that answers the first protocol error, if there is one.
/// Extensions are not supported here.
///
/// ```
/// use ws_core::{Config, Event, Message, Role, testing::reference::decode};
///
/// let (events, broken) = decode(b"\x81\x02hi\x83\x00", Role::Client, &Config::default());
/// assert_eq!(events, [Event::Message(Message::from("hi"))]);
/// assert_eq!(broken, Some(1002));
/// ```
#[must_use]
pub fn decode(stream: &[u8], receiver: Role, limits: &Config) -> (Vec<Event<'static>>, Option<u16>) {
    let mut events = Vec::new();
    let code = frames(stream, receiver, limits, &mut events).err();
    (events, code)
}

struct ReferenceHeader {
    fin: bool,
    rsv: u8,
    opcode: u8,
    len: u64,
    key: Option<[u8; 4]>,
    /// Position of the payload.
    end: usize,
}

/// Parses a header (5.2, the base framing protocol). Returns `None` if the stream ends before the header does.
fn header(bytes: &[u8]) -> Result<Option<ReferenceHeader>, u16> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    let (fin, opcode) = (first >= 0x80, first % 16);
    if !matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10) {
        return Err(1002);
    }
    // 5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented."
    if opcode >= 8 && (!fin || second % 128 > 125) {
        return Err(1002);
    }
    let (len_size, least) = match second % 128 {
        126 => (2, 126),
        127 => (8, 65536),
        _ => (0, 0),
    };
    let mut end = 2 + len_size;
    if bytes.len() < end {
        return Ok(None);
    }
    let mut len = u64::from(second % 128);
    if len_size > 0 {
        len = bytes[2..end].iter().fold(0, |len, byte| len << 8 | u64::from(*byte));
        if len < least || len > u64::MAX / 2 {
            return Err(1002);
        }
    }
    let mut key = None;
    if second >= 0x80 {
        let Some(&[a, b, c, d]) = bytes.get(end..end + 4) else { return Ok(None) };
        key = Some([a, b, c, d]);
        end += 4;
    }
    Ok(Some(ReferenceHeader { fin, rsv: first / 16 % 8, opcode, len, key, end }))
}

fn frames(
    mut rest: &[u8],
    receiver: Role,
    limits: &Config,
    events: &mut Vec<Event<'static>>,
) -> Result<(), u16> {
    // Opcode, payload and number of frames of the message in progress.
    let mut message: Option<(u8, Vec<u8>, usize)> = None;
    while let Some(header) = header(rest)? {
        // 5.2: "MUST be 0 unless an extension is negotiated". 5.1: a client masks all frames, a server masks none.
        if header.rsv != 0 || header.key.is_some() != (receiver == Role::Server) {
            return Err(1002);
        }
        let after_header = &rest[header.end..];
        let is_whole = after_header.len() as u64 >= header.len;
        let arrived = if is_whole { header.len as usize } else { after_header.len() };
        let key = header.key.unwrap_or_default();
        let payload: Vec<u8> = (0..arrived).map(|i| after_header[i] ^ key[i % 4]).collect();
        rest = &after_header[arrived..];

        if header.opcode >= 8 {
            if !is_whole {
                return Ok(());
            }
            match header.opcode {
                8 => {
                    events.push(Event::Close(close(&payload)?));
                    // 5.5.1: no frames follow a Close.
                    return Ok(());
                }
                9 => events.push(Event::Ping(Cow::Owned(payload))),
                _ => events.push(Event::Pong(Cow::Owned(payload))),
            }
            continue;
        }

        // 5.4: fragmentation.
        let (kind, mut bytes, count) = match (header.opcode, message.take()) {
            (0, Some(message)) => message,
            (0, None) | (_, Some(_)) => return Err(1002),
            (kind, None) => (kind, Vec::new(), 0),
        };
        let is_over = |size: u128, limit: usize| limit != usize::MAX && size > limit as u128;
        let size = bytes.len() as u128 + u128::from(header.len);
        if is_over(header.len.into(), limits.max_frame_size) || is_over(size, limits.max_message_size) {
            return Err(1009);
        }
        // The limit bounds the work of assembly.
        if count + 1 > limits.max_fragments && limits.delivery == Delivery::Messages {
            return Err(1008);
        }
        bytes.extend(payload);
        // 8.1. An error without a length is a character that is incomplete at the end of the bytes.
        let text = from_utf8(&bytes);
        if kind == 1 && text.is_err_and(|error| error.error_len().is_some()) {
            return Err(1007);
        }
        if !is_whole {
            return Ok(());
        }
        if !header.fin {
            message = Some((kind, bytes, count + 1));
        } else if kind == 2 {
            events.push(Event::Message(Message::from(bytes)));
        } else {
            events.push(Event::Message(Message::from(text.map_err(|_| 1007_u16)?.to_owned())));
        }
    }
    Ok(())
}

/// Parses the body of a Close (5.5.1 and 7.4).
fn close(payload: &[u8]) -> Result<Option<CloseFrame<'static>>, u16> {
    match payload {
        [] => Ok(None),
        [_] => Err(1002),
        [high, low, reason @ ..] => {
            let code = u16::from(*high) * 256 + u16::from(*low);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(1002);
            }
            let reason = from_utf8(reason).map_err(|_| 1007_u16)?.to_owned();
            Ok(Some(CloseFrame { code: CloseCode::new(code), reason: reason.into() }))
        }
    }
}
