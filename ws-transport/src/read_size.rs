use std::borrow::Cow;

use ws_core::Message;

/// The size of the next read. If the last message was large, the next read takes only a header, so that the payload
/// of a large message can be read directly into the memory where it is assembled.
#[derive(Debug, Default)]
pub enum ReadSize {
    /// As much as there is room for.
    #[default]
    All,
    /// Only a header, because a large message is likely to arrive.
    Header,
    /// As much as there is room for, during a message of which a part was read in place.
    InPlace,
}

impl ReadSize {
    /// Minimum size in bytes of a message for which an additional system call is worthwhile.
    const MIN_LARGE: usize = 32 << 10;
    /// Size in bytes of a header with a long length and a masking key (RFC 6455 section 5.2).
    const HEADER_LEN: usize = 14;

    /// Returns the maximum size of the next read, if the buffer has this much room.
    #[must_use]
    pub fn most(&self, room: usize) -> usize {
        if matches!(self, Self::Header) { room.min(Self::HEADER_LEN) } else { room }
    }

    /// Records that input was read.
    pub const fn read(&mut self) {
        if matches!(self, Self::Header) {
            *self = Self::All;
        }
    }

    /// Records that a part of a message was read in place.
    pub const fn read_in_place(&mut self) {
        *self = Self::InPlace;
    }

    /// Records that a message was received.
    #[inline]
    pub fn received(&mut self, message: &Message<'_>) {
        let was_in_place = matches!(self, Self::InPlace);
        let could_be =
            matches!(message, Message::Binary(Cow::Borrowed(payload)) if payload.len() >= Self::MIN_LARGE);
        *self = if was_in_place || could_be { Self::Header } else { Self::All };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_header_is_read_after_a_large_binary_message_and_no_other() {
        let large = [7; ReadSize::MIN_LARGE];
        let text = "x".repeat(ReadSize::MIN_LARGE);
        let mut read_size = ReadSize::default();
        for (message, most) in [
            (Message::from(&large[..]), 14),
            (Message::from(&large[1..]), 4096),
            (Message::from(&*text), 4096),
            (Message::from(large.to_vec()), 4096),
        ] {
            read_size.received(&message);
            assert_eq!(read_size.most(4096), most);
            assert_eq!(read_size.most(0), 0);
            read_size.read();
            assert_eq!(read_size.most(4096), 4096, "the payload comes next");
        }
    }

    #[test]
    fn a_message_that_was_read_in_place_was_large() {
        let mut read_size = ReadSize::default();
        read_size.read_in_place();
        read_size.read();
        assert_eq!(read_size.most(4096), 4096, "the message has not ended");
        read_size.received(&Message::from(vec![7; ReadSize::MIN_LARGE]));
        assert_eq!(read_size.most(4096), 14);
        read_size.received(&Message::from(vec![7; ReadSize::MIN_LARGE]));
        assert_eq!(read_size.most(4096), 4096);
    }
}
