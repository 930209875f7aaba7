//! Events from received payloads.

use alloc::{borrow::Cow, string::String};

use super::partial::{OpenFrame, take};
use crate::{Chunk, CloseFrame, Delivery, Event, Message, ProtocolError, Utf8Decoder, frame::Opcode, utf8};

/// Returns the next chunk of a text message. A character that the previous piece began becomes a chunk of its own,
/// because its bytes are not contiguous in either piece. The rest is borrowed from the input.
pub(super) fn text_chunk<'a>(
    frame: &mut OpenFrame,
    decoder: &mut Utf8Decoder,
    input: &mut &'a mut [u8],
    len: usize,
) -> Result<Option<Event<'a>>, ProtocolError> {
    let mut available = len;
    let mut text = Cow::Borrowed("");
    while !decoder.is_complete() && available > 0 {
        let (completed, _) = decoder.decode(take(frame, input, 1))?;
        available = available.saturating_sub(1);
        if let Some(character) = completed {
            text = Cow::Owned(String::from(character));
        }
    }
    if text.is_empty() && available > 0 {
        text = Cow::Borrowed(decoder.decode(take(frame, input, available))?.1);
    }
    let last = frame.fin && frame.remaining == 0;
    if last && !decoder.is_complete() {
        return Err(ProtocolError::InvalidUtf8);
    }
    Ok((last || !text.is_empty()).then_some(Event::Chunk(Chunk { payload: Message::Text(text), last })))
}

/// Returns the event of a frame that is a whole message or a control frame.
#[inline]
pub(super) fn lend(
    opcode: Opcode,
    payload: &mut [u8],
    delivery: Delivery,
) -> Result<Event<'_>, ProtocolError> {
    let message = match opcode {
        Opcode::Text => Message::from(utf8::validate(payload)?),
        Opcode::Binary => Message::from(&*payload),
        _ => return control_event(opcode, Cow::Borrowed(payload)),
    };
    Ok(match delivery {
        Delivery::Messages => Event::Message(message),
        Delivery::Chunks => Event::Chunk(Chunk { payload: message, last: true }),
    })
}

pub(super) fn control_event(opcode: Opcode, payload: Cow<'_, [u8]>) -> Result<Event<'_>, ProtocolError> {
    Ok(match opcode {
        Opcode::Ping => Event::Ping(payload),
        Opcode::Pong => Event::Pong(payload),
        _ => Event::Close(match payload {
            Cow::Borrowed(payload) => CloseFrame::parse(payload)?,
            Cow::Owned(payload) => CloseFrame::parse(&payload)?.map(CloseFrame::into_owned),
        }),
    })
}
