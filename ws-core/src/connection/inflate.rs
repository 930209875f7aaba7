//! Compressed messages on their way in.

use core::mem;

use super::partial::{OpenFrame, OpenMessage, Payload, take};
use crate::{Chunk, Config, Delivery, Event, Message, ProtocolError, extension::Inflater};

/// Maximum length of a message in memory, in bytes: no allocation has more than `isize::MAX`, and text needs room for
/// one more character.
const MAX_LEN: usize = isize::MAX.unsigned_abs() - 4;

/// Inflates the next piece of a compressed message.
pub(super) fn inflated_piece<'a>(
    frame: &mut OpenFrame,
    message: &mut OpenMessage,
    inflater: &mut Inflater,
    input: &mut &'a mut [u8],
    len: usize,
    config: &Config,
) -> Result<Option<Event<'a>>, ProtocolError> {
    /// As a chunk, so few compressed bytes make at most 264 KiB.
    const STEP: usize = 256;
    let in_chunks = config.delivery == Delivery::Chunks;
    let piece = take(frame, input, if in_chunks { len.min(STEP) } else { len });
    let last = frame.fin && frame.remaining == 0;
    let limit = if in_chunks { config.max_message_size } else { config.max_message_size.min(MAX_LEN) };
    let announced = message.size;
    let payload = match &mut message.payload {
        Payload::Binary(bytes) => {
            inflater.inflate(piece, last, limit, announced, |block| {
                bytes.reserve_exact(bounded_growth(bytes.capacity(), bytes.len(), block.len(), limit));
                bytes.extend_from_slice(block);
                Ok(())
            })?;
            (last || (in_chunks && !bytes.is_empty())).then(|| Message::from(mem::take(bytes)))
        }
        Payload::Text { text, decoder } => {
            inflater.inflate(piece, last, limit, announced, |block| {
                let (completed, more) = decoder.decode(block)?;
                let len = more.len().saturating_add(4);
                text.reserve_exact(bounded_growth(text.capacity(), text.len(), len, limit));
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

/// By how much to grow for the next block: by doubling, but not beyond the limit plus a block.
fn bounded_growth(capacity: usize, len: usize, block: usize, limit: usize) -> usize {
    if capacity.saturating_sub(len) >= block {
        return 0;
    }
    len.min(limit.saturating_sub(len)).max(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_growth_of_a_message_exceeds_what_can_be_allocated() {
        let limit = MAX_LEN;
        for len in [0, 1 << 20, MAX_LEN / 2, MAX_LEN / 2 + 1, MAX_LEN - (16 << 10), MAX_LEN - 1] {
            // The message receives as much as fits, and text needs room for one more character.
            let block = (limit - len).min(16 << 10);
            for block in [block, block + 4] {
                let growth = bounded_growth(len, len, block, limit);
                assert!(growth >= block && len + growth <= isize::MAX.unsigned_abs(), "{len} and {growth}");
            }
        }
    }
}
