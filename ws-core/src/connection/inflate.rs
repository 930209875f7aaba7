//! Decompression of received messages.

use core::mem;

use super::partial::{MAX_LEN, OpenFrame, OpenMessage, Payload, reserve, reserve_text, take};
use crate::{Chunk, Config, Delivery, Event, Message, ProtocolError, extension::Inflater};

/// Inflates the next piece of a compressed message.
pub(super) fn inflated_piece<'a>(
    frame: &mut OpenFrame,
    message: &mut OpenMessage,
    inflater: &mut Inflater,
    input: &mut &'a mut [u8],
    len: usize,
    config: &Config,
) -> Result<Option<Event<'a>>, ProtocolError> {
    /// Compressed bytes inflated for one chunk, so that a chunk has at most 264 KiB.
    const STEP: usize = 256;
    let in_chunks = config.delivery == Delivery::Chunks;
    let piece = take(frame, input, if in_chunks { len.min(STEP) } else { len });
    let last = frame.fin && frame.remaining == 0;
    let limit = if in_chunks { config.max_message_size } else { config.max_message_size.min(MAX_LEN) };
    let announced = message.size;
    let payload = match &mut message.payload {
        Payload::Binary(bytes) => {
            inflater.inflate(piece, last, limit, announced, |block| {
                reserve(bytes, block.len(), doubled(bytes.len(), limit))?;
                bytes.extend_from_slice(block);
                Ok(())
            })?;
            (last || (in_chunks && !bytes.is_empty())).then(|| Message::from(mem::take(bytes)))
        }
        Payload::Text { text, decoder } => {
            inflater.inflate(piece, last, limit, announced, |block| {
                let (completed, more) = decoder.decode(block)?;
                let len = more.len().saturating_add(4);
                reserve_text(text, len, doubled(text.len(), limit))?;
                text.extend(completed);
                text.push_str(more);
                Ok(())
            })?;
            if last && !decoder.is_complete() {
                return Err(ProtocolError::InvalidUtf8);
            }
            (last || (in_chunks && !text.is_empty())).then(|| Message::from(mem::take(text)))
        }
    };
    Ok(payload.map(
        |payload| {
            if in_chunks { Event::Chunk(Chunk { payload, last }) } else { Event::Message(payload) }
        },
    ))
}

/// Returns the number of bytes by which to grow: the length is doubled, but not beyond the limit.
fn doubled(len: usize, limit: usize) -> usize {
    len.min(limit.saturating_sub(len))
}
