//! Decompression of received messages.

use core::mem;

use super::{
    partial::{MAX_LEN, OpenFrame, OpenMessage, Payload, reserve, reserve_text},
    receive::skip,
};
use crate::{
    Chunk, Config, Delivery, Event, Message, ProtocolError,
    extension::{Inflater, Quota},
};

/// Inflates the next piece of a compressed message, at most `len` compressed bytes and until `quota` is spent. Sets
/// `message.deferred` if the rest of the piece has to be inflated later. That rest stays in the input.
pub(super) fn inflated_piece<'a>(
    frame: &mut OpenFrame,
    message: &mut OpenMessage,
    inflater: &mut Inflater,
    input: &mut &'a mut [u8],
    len: usize,
    config: &Config,
    quota: &mut Quota,
) -> Result<Option<Event<'a>>, ProtocolError> {
    let in_chunks = config.delivery == Delivery::Chunks;
    let piece = input.get_mut(..len.min(Quota::MAX_COMPRESSED)).unwrap_or_default();
    let last = frame.fin && frame.remaining == piece.len() as u64;
    let limit = if in_chunks { config.max_message_size } else { config.max_message_size.min(MAX_LEN) };
    let announced = message.size;
    frame.mask(piece);
    let inflated = match &mut message.payload {
        Payload::Binary(bytes) => inflater.inflate(piece, last, limit, announced, quota, |block| {
            reserve(bytes, block.len(), doubled(bytes.len(), limit))?;
            bytes.extend_from_slice(block);
            Ok(())
        })?,
        Payload::Text { text, decoder } => {
            inflater.inflate(piece, last, limit, announced, quota, |block| {
                let (completed, more) = decoder.decode(block)?;
                let len = more.len().saturating_add(4);
                reserve_text(text, len, doubled(text.len(), limit))?;
                text.extend(completed);
                text.push_str(more);
                Ok(())
            })?
        }
    };
    frame.advance(inflated.consumed);
    // The rest waits as it came.
    frame.mask(piece.get_mut(inflated.consumed..).unwrap_or_default());
    skip(input, inflated.consumed);
    message.deferred = !inflated.finished;
    let last = last && inflated.finished;
    let payload = match &mut message.payload {
        Payload::Binary(bytes) => {
            (last || (in_chunks && !bytes.is_empty())).then(|| Message::from(mem::take(bytes)))
        }
        Payload::Text { text, decoder } => {
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
