//! Parsing of received frames into events. It depends only on the received bytes and not on the output.

use alloc::{borrow::Cow, boxed::Box, string::String, vec::Vec};
use core::mem;

use super::{
    events::{control_event, lend, text_chunk},
    inflate::inflated_piece,
    partial::{OpenFrame, OpenMessage, Partial, Payload, growth, growth_in, reserve, reserve_text, take},
};
use crate::{
    Chunk, Config, Delivery, Event, Message, ProtocolError, Role, Utf8Decoder,
    extension::{Inflater, Quota},
    frame::{Header, Opcode, apply_mask},
    log::FrameLog,
};

/// Position of the connection in the stream of frames.
#[derive(Debug)]
pub(super) struct Incoming {
    /// `true` on a server. RFC 6455 5.1: a client masks every frame, a server masks none.
    expect_masked: bool,
    /// Frame or message that has begun and not ended. An idle connection has none.
    pub(super) partial: Option<Box<Partial>>,
    /// Decompressor of messages, if permessage-deflate was negotiated.
    pub(super) inflater: Option<Box<Inflater>>,
    log: FrameLog,
    /// Size in bytes of the last message that arrived in pieces. The next message may allocate as much at once: to
    /// waste that memory, the peer has had to fill it before. Each smaller message that arrives whole halves it, and
    /// [`release`](Self::release) clears it, so that one large message is no permit for ever.
    proven: u32,
    /// `true` if input was received since the time was last reported.
    pub(super) received: bool,
    /// `true` if receiving has been paused since the time was last reported.
    pub(super) was_paused: bool,
}

impl Incoming {
    pub(super) const fn new(role: Role, inflater: Option<Box<Inflater>>, log: FrameLog) -> Self {
        let expect_masked = matches!(role, Role::Server);
        Self { expect_masked, inflater, log, partial: None, proven: 0, received: false, was_paused: false }
    }

    /// Returns the role of this end. Servers expect masked frames, and clients do not (RFC 6455 section 5.1).
    pub(super) const fn role(&self) -> Role {
        if self.expect_masked { Role::Server } else { Role::Client }
    }

    /// Returns `true` if no frame or message has begun, no input is kept and receiving is not paused.
    #[inline]
    pub(super) const fn is_quiet(&self) -> bool {
        self.partial.is_none() && !self.was_paused
    }

    /// Returns `true` if a frame or message has begun and not ended.
    #[inline]
    pub(super) fn has_begun(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.has_begun())
    }

    /// Forgets the size of earlier messages, so that the next one allocates only for received bytes.
    pub(super) const fn release(&mut self) {
        self.proven = 0;
    }

    /// Drops all partial and kept input. No part of it is delivered any more.
    pub(super) fn abandon(&mut self) {
        let received = self.received;
        let log = mem::take(&mut self.log);
        *self = Self { received, ..Self::new(self.role(), None, log) };
    }

    /// Handles the common case, separately so that it can be inlined: a message in one frame that lies completely in
    /// `input`. Returns `None` for all other input, including errors, and leaves it to [`next`](Self::next).
    #[inline]
    pub(super) fn whole_message<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        config: &Config,
    ) -> Option<(Opcode, &'a mut [u8])> {
        if self.partial.is_some() || config.delivery != Delivery::Messages {
            return None;
        }
        // FIN, no reserved bit, text or binary. This check makes most of the following checks unnecessary.
        if !matches!(input.first(), Some(0x81 | 0x82)) {
            return None;
        }
        let (header, header_len) = Header::decode(input).ok()??;
        self.admit(&header, config).ok()?;
        let end = usize::try_from(header.payload_len).ok()?.checked_add(header_len)?;
        let payload = input.split_off_mut(..end)?.get_mut(header_len..)?;
        self.log.received(&header);
        if let Some(key) = header.masking_key {
            apply_mask(payload, key);
        }
        self.proven = reduced(self.proven, payload.len());
        Some((header.opcode, payload))
    }

    /// Removes bytes from `input` up to the end of the next event. Returns `None` when the input is drained, or when
    /// `quota` is spent and the rest is [deferred](Self::is_deferred).
    #[inline]
    pub(super) fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        config: &Config,
        quota: &mut Quota,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        loop {
            if !self.is_in_frame() {
                let Some(header) = self.header(input)? else { return Ok(None) };
                self.admit(&header, config)?;
                self.log.received(&header);
                if let Some(payload) = self.whole_payload(&header, input) {
                    if !header.opcode.is_control() {
                        self.proven = reduced(self.proven, payload.len());
                    }
                    self.settle();
                    return lend(header.opcode, payload, config.delivery).map(Some);
                }
                self.open(&header);
            }
            let event = self.piece(input, config, quota)?;
            self.settle();
            if event.is_some() || self.is_deferred() || (self.is_in_frame() && input.is_empty()) {
                return Ok(event);
            }
        }
    }

    /// Returns `true` if the message in progress has to be inflated further, without new input.
    #[inline]
    pub(super) fn is_deferred(&self) -> bool {
        let message = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        message.is_some_and(|message| message.deferred)
    }

    /// Returns `true` if all bytes of a frame have arrived and the frame has not been processed yet.
    #[inline]
    pub(super) fn is_frame_complete(&self) -> bool {
        let frame = self.partial.as_ref().and_then(|partial| partial.frame.as_ref());
        frame.is_some_and(|frame| frame.remaining == 0)
    }

    /// Lets `read` append bytes of the payload of a binary message to the bytes received so far, up to the available
    /// room. Returns the result of `read`, and `true` if it has appended bytes. Returns `None` if other bytes come
    /// next or if only few payload bytes are missing.
    pub(super) fn read_payload<R>(
        &mut self,
        config: &Config,
        read: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> Option<(R, bool)> {
        /// Fewer missing bytes are better read together with the bytes that follow them.
        const MIN_READ: usize = 16 << 10;
        /// Fewer bytes than these, received or proven, leave too little room for more.
        const IN_PLACE_FROM: usize = 64 << 10;
        let proven = self.proven();
        let partial = &mut **self.partial.as_mut()?;
        let (message, frame) = (partial.message.as_mut()?, partial.frame.as_mut()?);
        let Payload::Binary(bytes) = &mut message.payload else { return None };
        let missing = usize::try_from(frame.remaining).ok()?;
        let is_whole = config.delivery == Delivery::Messages && !message.compressed;
        if bytes.len().max(proven) < IN_PLACE_FROM
            || missing < MIN_READ
            || !is_whole
            || frame.opcode.is_control()
        {
            return None;
        }
        if bytes.capacity().saturating_sub(bytes.len()) < MIN_READ {
            // Without enough memory, the bytes take the ordinary way, which reports the error.
            let wanted = growth(bytes.len(), proven).min(missing);
            reserve(bytes, missing.min(MIN_READ), wanted).ok()?;
        }
        let before = bytes.len();
        if bytes.capacity().saturating_sub(before) > missing {
            return None;
        }
        let result = read(bytes);
        bytes.truncate(before.saturating_add(missing));
        let appended = bytes.get_mut(before..).unwrap_or_default();
        frame.unmask(appended);
        let has_grown = !appended.is_empty();
        partial.has_grown |= has_grown;
        Some((result, has_grown))
    }

    fn proven(&self) -> usize {
        usize::try_from(self.proven).unwrap_or(usize::MAX)
    }

    fn is_in_frame(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.frame.is_some())
    }

    /// Frees the memory for partial input when it is no longer needed.
    fn settle(&mut self) {
        self.partial.take_if(|partial| !partial.has_begun() && partial.held.is_empty());
    }

    /// Returns the next header as soon as it is complete.
    #[inline]
    fn header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, ProtocolError> {
        if self.partial.as_ref().is_none_or(|partial| partial.header_len == 0)
            && let Some((header, len)) = Header::decode(input)?
        {
            skip(input, len);
            return Ok(Some(header));
        }
        self.header_in_pieces(input)
    }

    #[cold]
    fn header_in_pieces(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, ProtocolError> {
        let partial = self.partial.get_or_insert_default();
        let had = usize::from(partial.header_len);
        let space = partial.header.get_mut(had..).unwrap_or_default();
        let more = space.len().min(input.len());
        for (to, from) in space.iter_mut().zip(input.iter()) {
            *to = *from;
        }
        let have = had.saturating_add(more);
        // RFC 6455 5.2: the highest bit of the opcode marks a control frame, which does not keep a message alive.
        let is_control = partial.header.first().is_some_and(|first| first & 0x08 != 0);
        partial.has_grown |= !is_control || partial.message.is_none();
        match Header::decode(partial.header.get(..have).unwrap_or_default())? {
            Some((header, len)) => {
                // Of the copied bytes, those behind the header stay in the input.
                skip(input, len.saturating_sub(had));
                partial.header_len = 0;
                Ok(Some(header))
            }
            None => {
                *input = &mut [];
                partial.header_len = u8::try_from(have).unwrap_or(0);
                Ok(None)
            }
        }
    }

    /// Checks a header against the protocol and the limits, before any byte of its payload is processed.
    #[inline]
    fn admit(&mut self, header: &Header, config: &Config) -> Result<(), ProtocolError> {
        // RFC 7692 6: RSV1 marks the first frame of a compressed message, and no other.
        let may_be_compressed =
            matches!(header.opcode, Opcode::Text | Opcode::Binary) && self.inflater.is_some();
        if header.rsv2 || header.rsv3 || (header.rsv1 && !may_be_compressed) {
            return Err(ProtocolError::ReservedBits);
        }
        // RFC 6455 5.1: "a server MUST close the connection upon receiving a frame that is not masked",
        // "a client MUST close a connection if it detects a masked frame".
        match (self.expect_masked, header.masking_key.is_some()) {
            (true, false) => return Err(ProtocolError::UnmaskedFrame),
            (false, true) => return Err(ProtocolError::MaskedFrame),
            _ => {}
        }
        if header.opcode.is_control() {
            return Ok(());
        }
        let mut size = header.payload_len;
        let mut fragments = 1;
        let message = self.partial.as_mut().and_then(|partial| partial.message.as_mut());
        match (header.opcode, message) {
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Continuation, Some(message)) => {
                size = size.saturating_add(message.size);
                fragments = message.fragments.saturating_add(1);
                message.size = size;
                message.fragments = fragments;
            }
            (_, Some(_)) => return Err(ProtocolError::InterruptedMessage),
            (_, None) => {}
        }
        if exceeds(header.payload_len, config.max_frame_size) {
            let limit = config.max_frame_size;
            return Err(ProtocolError::FrameTooLarge { size: header.payload_len, limit });
        }
        if exceeds(size, config.max_message_size) {
            return Err(ProtocolError::MessageTooLarge { size, limit: config.max_message_size });
        }
        // The limit bounds the work of assembly. Chunks are delivered one by one.
        if fragments > config.max_fragments && config.delivery == Delivery::Messages {
            return Err(ProtocolError::TooManyFragments { limit: config.max_fragments });
        }
        Ok(())
    }

    /// Returns the whole unmasked payload, if the frame is a complete message and lies completely in the input.
    #[inline]
    fn whole_payload<'a>(&self, header: &Header, input: &mut &'a mut [u8]) -> Option<&'a mut [u8]> {
        let stands_alone = header.fin && header.opcode != Opcode::Continuation && !header.rsv1;
        let len = usize::try_from(header.payload_len).ok().filter(|_| stands_alone)?;
        let payload = input.split_off_mut(..len)?;
        if let Some(key) = header.masking_key {
            apply_mask(payload, key);
        }
        Some(payload)
    }

    /// Stores a frame, and the message that it begins, so that its payload can arrive in pieces.
    fn open(&mut self, header: &Header) {
        let payload = match header.opcode {
            Opcode::Text => Some(Payload::Text { text: String::new(), decoder: Utf8Decoder::default() }),
            Opcode::Binary => Some(Payload::Binary(Vec::new())),
            _ => None,
        };
        let partial = self.partial.get_or_insert_default();
        partial.has_grown |= !header.opcode.is_control() || partial.message.is_none();
        if let Some(payload) = payload {
            let (compressed, size) = (header.rsv1, header.payload_len);
            partial.message = Some(OpenMessage { payload, compressed, deferred: false, size, fragments: 1 });
        }
        partial.frame = Some(OpenFrame {
            remaining: header.payload_len,
            key: header.masking_key.unwrap_or_default(),
            opcode: header.opcode,
            fin: header.fin,
        });
    }

    /// Takes the next piece of the payload of the open frame.
    fn piece<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        config: &Config,
        quota: &mut Quota,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        let proven = self.proven();
        let Some(partial) = &mut self.partial else { return Ok(None) };
        let Some(frame) = &mut partial.frame else { return Ok(None) };
        let len = usize::try_from(frame.remaining).unwrap_or(usize::MAX).min(input.len());
        partial.has_grown |= len > 0 && (!frame.opcode.is_control() || partial.message.is_none());
        if frame.opcode.is_control() {
            let piece = take(frame, input, len);
            partial.control.extend_from_slice(piece);
            if frame.remaining > 0 {
                return Ok(None);
            }
            let opcode = frame.opcode;
            partial.frame = None;
            return control_event(opcode, Cow::Owned(mem::take(&mut partial.control))).map(Some);
        }
        let Some(message) = &mut partial.message else { return Ok(None) };
        let event = match (&mut message.payload, config.delivery) {
            _ if message.compressed => {
                let Some(inflater) = &mut self.inflater else { return Err(ProtocolError::ReservedBits) };
                inflated_piece(frame, message, inflater, input, len, config, quota)?
            }
            (Payload::Binary(bytes), Delivery::Messages) => {
                let piece = take(frame, input, len);
                reserve(bytes, piece.len(), growth_in(frame, bytes.len(), piece.len(), proven))?;
                bytes.extend_from_slice(piece);
                let ended = frame.fin && frame.remaining == 0;
                ended.then(|| Event::Message(Message::from(mem::take(bytes))))
            }
            (Payload::Text { text, decoder }, Delivery::Messages) => {
                let piece = take(frame, input, len);
                let (completed, more) = decoder.decode(piece)?;
                let len = completed.map_or(0, char::len_utf8).saturating_add(more.len());
                reserve_text(text, len, growth_in(frame, text.len(), len, proven))?;
                text.extend(completed);
                text.push_str(more);
                let ended = frame.fin && frame.remaining == 0;
                if ended && !decoder.is_complete() {
                    return Err(ProtocolError::InvalidUtf8);
                }
                ended.then(|| Event::Message(Message::from(mem::take(text))))
            }
            (Payload::Binary(_), Delivery::Chunks) => {
                let piece: &[u8] = take(frame, input, len);
                let last = frame.fin && frame.remaining == 0;
                (last || !piece.is_empty()).then(|| Event::Chunk(Chunk { payload: piece.into(), last }))
            }
            (Payload::Text { decoder, .. }, Delivery::Chunks) => text_chunk(frame, decoder, input, len)?,
        };
        if frame.remaining == 0 && !message.deferred {
            if frame.fin {
                self.proven = if message.compressed {
                    self.proven >> 1
                } else {
                    u32::try_from(message.size).unwrap_or(u32::MAX)
                };
                partial.message = None;
            }
            partial.frame = None;
        }
        Ok(event)
    }
}

/// Drops the first `len` bytes of the input.
#[inline]
pub(super) fn skip(input: &mut &mut [u8], len: usize) {
    *input = mem::take(input).get_mut(len..).unwrap_or_default();
}

/// Returns `true` if `size` exceeds `limit`. A limit of `usize::MAX` means no limit on any machine.
#[inline]
fn exceeds(size: u64, limit: usize) -> bool {
    limit != usize::MAX && usize::try_from(size).map_or(true, |size| size > limit)
}

/// Returns the size that the next message may allocate at once, after a message of `len` bytes that arrived whole.
/// Messages of one size arrive whole or in pieces by chance, so that a message of the same size leaves it unchanged.
fn reduced(proven: u32, len: usize) -> u32 {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    proven.min(len.max(proven >> 1))
}
