//! The way in which messages become frames, if that is not one plain frame for each message: compression, and the
//! maximum size of a frame.

use alloc::{borrow::Cow, boxed::Box};
use core::{num::NonZeroUsize, ops::Range};

use bytes::Bytes;

use super::outgoing::OutputQueue;
use crate::{
    Config, PreparedMessage,
    extension::Compressor,
    frame::{Header, Opcode},
};

/// State that exists only if messages are compressed or split. Other connections send each message as one plain frame,
/// and pay one branch for it.
#[derive(Debug)]
pub(super) struct Framing {
    /// Compressor of messages, if permessage-deflate was negotiated.
    pub(super) compressor: Option<Compressor>,
    /// Maximum payload size in bytes of a frame.
    max_frame: NonZeroUsize,
}

impl Framing {
    /// Returns `None` if each message is one plain frame.
    pub(super) fn new(compressor: Option<Compressor>, config: &Config) -> Option<Box<Self>> {
        let max_frame = NonZeroUsize::new(config.max_sent_frame_size).unwrap_or(NonZeroUsize::MIN);
        let is_plain = compressor.is_none() && max_frame == NonZeroUsize::MAX;
        (!is_plain).then(|| Box::new(Self { compressor, max_frame }))
    }
}

/// Compressed messages, and messages in several frames.
impl OutputQueue {
    pub(super) fn compressor(&mut self) -> Option<&mut Compressor> {
        self.framing.as_mut()?.compressor.as_mut()
    }

    fn max_frame(&self) -> NonZeroUsize {
        self.framing.as_ref().map_or(NonZeroUsize::MAX, |framing| framing.max_frame)
    }

    /// Queues a message, compressed if that makes it smaller, and in several frames if it is too large for one.
    /// Returns the number of queued bytes.
    #[cold]
    #[inline(never)]
    pub(super) fn push_framed(&mut self, opcode: Opcode, payload: Cow<'_, [u8]>) -> usize {
        let start = self.end();
        let (payload, rsv1) = self.compress_message(payload);
        let header = Header { rsv1, ..Header::new(opcode, payload.len() as u64) };
        self.push_fragments(header, payload);
        self.queued_since(start)
    }

    /// Returns the payload, and `true` if it is compressed.
    fn compress_message<'p>(&mut self, payload: Cow<'p, [u8]>) -> (Cow<'p, [u8]>, bool) {
        if let Some(compressor) = self.compressor().filter(|compressor| compressor.is_worth(payload.len())) {
            let compressed = compressor.compress(&payload);
            // With a shared context, the peer's inflater has to see the same bytes as the compressor.
            if compressor.keeps_context() || compressed.len() < payload.len() {
                return (Cow::Owned(compressed), true);
            }
        }
        (payload, false)
    }

    /// Queues the payload of one frame: as this frame, or as several frames if it is too large for one.
    pub(super) fn push_fragments(&mut self, header: Header, payload: Cow<'_, [u8]>) {
        let max_frame = self.max_frame();
        if payload.len() <= max_frame.get() {
            return self.push_frame(header, payload);
        }
        match payload {
            Cow::Owned(payload) if max_frame.get() >= Self::SHARED_FROM && self.masking.is_none() => {
                self.push_shared_fragments(header, &Bytes::from(payload), max_frame);
            }
            payload => {
                for (header, range) in fragments(header, payload.len(), max_frame) {
                    self.log.sent(&header);
                    self.push_copied(header, payload.get(range).unwrap_or_default());
                }
            }
        }
    }

    /// Queues the frame of a prepared message. Returns the number of queued bytes.
    #[cold]
    #[inline(never)]
    pub(super) fn push_prepared_framed(&mut self, prepared: &PreparedMessage) -> usize {
        let start = self.end();
        match self.shared_frame(prepared) {
            None => return self.push_framed(prepared.opcode(), Cow::Borrowed(prepared.payload())),
            Some(frame) => {
                let max_frame = self.max_frame();
                match Header::decode(&frame) {
                    Ok(Some((header, len))) if frame.len().saturating_sub(len) > max_frame.get() => {
                        self.push_shared_fragments(header, &frame.slice(len..), max_frame);
                    }
                    _ => self.push_encoded(&frame),
                }
            }
        }
        self.queued_since(start)
    }

    /// Queues frames of an unmasked payload, by reference if that is cheaper than a copy.
    fn push_shared_fragments(&mut self, header: Header, payload: &Bytes, max_frame: NonZeroUsize) {
        for (header, range) in fragments(header, payload.len(), max_frame) {
            self.log.sent(&header);
            if range.len() >= Self::PREPARED_FROM {
                header.encode().append_to(self.queue.block());
                self.queue.push(payload.slice(range));
            } else {
                self.push_copied(header, payload.get(range).unwrap_or_default());
            }
        }
    }

    /// Returns the frame of a message if it is the same for all connections with the same parameters, and is one
    /// frame.
    #[inline]
    pub(super) fn single_frame<'m>(&mut self, prepared: &'m PreparedMessage) -> Option<Cow<'m, Bytes>> {
        if self.framing.is_some() {
            return self.single_framed(prepared);
        }
        self.masking.is_none().then(|| Cow::Borrowed(prepared.frame()))
    }

    #[cold]
    #[inline(never)]
    fn single_framed<'m>(&mut self, prepared: &'m PreparedMessage) -> Option<Cow<'m, Bytes>> {
        let max_frame = self.max_frame().get() as u64;
        let frame = self.shared_frame(prepared)?;
        let fits = matches!(Header::decode(&frame), Ok(Some((header, _))) if header.payload_len <= max_frame);
        fits.then_some(frame)
    }

    /// Returns the frame of a message if it is the same for all connections with the same parameters. Returns `None`
    /// if it depends on earlier messages or on the masking key.
    fn shared_frame<'m>(&mut self, prepared: &'m PreparedMessage) -> Option<Cow<'m, Bytes>> {
        if self.masking.is_some() {
            return None;
        }
        match self.compressor().filter(|compressor| compressor.is_worth(prepared.len())) {
            None => Some(Cow::Borrowed(prepared.frame())),
            Some(compressor) => prepared.compressed_frame(compressor).map(Cow::Owned),
        }
    }

    fn queued_since(&self, start: u64) -> usize {
        usize::try_from(self.end().saturating_sub(start)).unwrap_or(usize::MAX)
    }
}

/// Divides a frame with a payload of `len` bytes into frames of at most `max_frame` bytes. Each item is the header and
/// the payload of a frame.
///
/// RFC 6455 5.4: the first frame has the opcode, and the last one has FIN if the frame has it. RFC 7692 6: RSV1 is set
/// in the first frame of a compressed message only. The cuts may fall inside a code point, because RFC 6455 5.6 requires
/// whole messages to be UTF-8, and not each frame.
fn fragments(
    header: Header,
    len: usize,
    max_frame: NonZeroUsize,
) -> impl Iterator<Item = (Header, Range<usize>)> {
    (0..len).step_by(max_frame.get()).map(move |start| {
        let end = start.saturating_add(max_frame.get()).min(len);
        let fragment = Header {
            fin: header.fin && end == len,
            rsv1: header.rsv1 && start == 0,
            opcode: if start == 0 { header.opcode } else { Opcode::Continuation },
            payload_len: end.saturating_sub(start) as u64,
            ..header
        };
        (fragment, start..end)
    })
}
