//! Messages in, frames out.

use alloc::{borrow::Cow, boxed::Box, vec::Vec};

use bytes::Bytes;

use super::Connection;
use crate::{
    Chunk, Message, PreparedMessage, SendError, Transmit,
    entropy::Entropy,
    extension::Compressor,
    frame::{EncodedHeader, Header, Opcode, extend_masked},
};

/// What has been sent and not been written.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) queue: Transmit,
    /// Where masking keys come from; a server has none and needs none.
    masking: Option<Box<Entropy>>,
    /// What messages are compressed by, if that was agreed on.
    pub(super) compressor: Option<Box<Compressor>>,
    /// The opcode of the message that is being sent in chunks, and whether it is compressed.
    message: Option<(Opcode, bool)>,
    /// The payload of the latest ping, if its answer has to wait for others to be written.
    pong: Option<Box<Pong>>,
}

#[derive(Debug)]
struct Pong {
    payload: [u8; 125],
    len: u8,
}

impl Outgoing {
    /// From this size on, a payload that may be kept is queued by reference.
    const SHARED_FROM: usize = 4096;
    /// From this size on, a prepared frame is; a reference costs about as much as copying so many bytes.
    const PREPARED_FROM: usize = 512;

    /// As long as fewer bytes wait to be written, every ping is answered.
    const PONGS_BELOW: usize = 4096;

    pub(super) fn new(
        masking: Option<Box<Entropy>>,
        compressor: Option<Box<Compressor>>,
        head: Vec<u8>,
    ) -> Self {
        let mut queue = Transmit::default();
        *queue.block() = head;
        Self { queue, masking, compressor, message: None, pong: None }
    }

    pub(super) fn push(&mut self, opcode: Opcode, payload: &[u8]) {
        self.push_copied(Header::new(opcode, payload.len() as u64), payload);
    }

    /// Queues a message that is copied as it is. It has its own code, because to send many of them is what most
    /// applications do most.
    #[inline]
    fn push_short(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.masking.is_some() {
            return self.push_short_masked(opcode, payload);
        }
        let out = self.queue.block();
        Header::new(opcode, payload.len() as u64).encode().append_to(out);
        out.extend_from_slice(payload);
    }

    #[inline(never)]
    fn push_short_masked(&mut self, opcode: Opcode, payload: &[u8]) {
        self.push_masked(Header::new(opcode, payload.len() as u64), payload);
    }

    /// Queues a message, compressed if that was agreed on and is of use.
    #[inline(never)]
    fn push_message(&mut self, opcode: Opcode, payload: Cow<'_, [u8]>) {
        if self.compressor.is_some() {
            return self.push_compressed(opcode, payload);
        }
        self.push_frame(Header::new(opcode, payload.len() as u64), payload);
    }

    /// Out of line, because it would slow down those who do not compress.
    #[cold]
    #[inline(never)]
    fn push_compressed(&mut self, opcode: Opcode, payload: Cow<'_, [u8]>) {
        if let Some(compressor) =
            self.compressor.as_mut().filter(|compressor| compressor.is_worth(payload.len()))
        {
            let compressed = compressor.compress(&payload, true);
            // With a context, the peer's inflater has to see what the compressor has seen.
            if compressor.keeps_context() || compressed.len() < payload.len() {
                let header = Header { rsv1: true, ..Header::new(opcode, compressed.len() as u64) };
                return self.push_frame(header, Cow::Owned(compressed));
            }
        }
        self.push_frame(Header::new(opcode, payload.len() as u64), payload);
    }

    /// Queues a frame, with its payload itself if that is cheaper than a copy.
    #[inline]
    fn push_frame(&mut self, header: Header, payload: Cow<'_, [u8]>) {
        match payload {
            Cow::Owned(payload) if payload.len() >= Self::SHARED_FROM && self.masking.is_none() => {
                header.encode().append_to(self.queue.block());
                self.queue.push_shared(Bytes::from(payload));
            }
            payload => self.push_copied(header, &payload),
        }
    }

    /// Queues a frame, masked if it has to be.
    #[inline]
    fn push_copied(&mut self, header: Header, payload: &[u8]) {
        if self.masking.is_some() {
            return self.push_masked(header, payload);
        }
        let out = self.queue.block();
        header.encode().append_to(out);
        out.extend_from_slice(payload);
    }

    #[inline]
    fn push_masked(&mut self, header: Header, payload: &[u8]) {
        let Some(key) = self.masking.as_mut().map(|entropy| entropy.masking_key()) else { return };
        let out = self.queue.block();
        Header { masking_key: Some(key), ..header }.encode().append_to(out);
        extend_masked(out, payload, key);
    }

    #[inline]
    fn push_prepared(&mut self, prepared: &PreparedMessage) {
        match self.shared_frame(prepared) {
            None => self.push_message(prepared.opcode(), Cow::Borrowed(prepared.payload())),
            Some(frame) if frame.len() >= Self::PREPARED_FROM => self.queue.push_shared(frame.into_owned()),
            Some(frame) => self.queue.block().extend_from_slice(&frame),
        }
    }

    /// The frame of a message that is the same for all who agreed on the same parameters. `None` where it
    /// depends on what was sent before, or on the masking key.
    #[inline]
    fn shared_frame<'m>(&mut self, prepared: &'m PreparedMessage) -> Option<Cow<'m, Bytes>> {
        if self.masking.is_some() {
            return None;
        }
        if self.compressor.is_some() {
            return self.shared_compressed_frame(prepared);
        }
        Some(Cow::Borrowed(prepared.frame()))
    }

    #[cold]
    #[inline(never)]
    fn shared_compressed_frame<'m>(&mut self, prepared: &'m PreparedMessage) -> Option<Cow<'m, Bytes>> {
        match self.compressor.as_mut().filter(|compressor| compressor.is_worth(prepared.len())) {
            None => Some(Cow::Borrowed(prepared.frame())),
            Some(compressor) => prepared.compressed_frame(compressor).map(Cow::Owned),
        }
    }

    /// Answers a ping: at once, or, if pongs wait unwritten already, when those have gone. Then an earlier
    /// ping that still waits is forgotten: RFC 6455 5.5.3 lets an endpoint "elect to send a Pong frame for
    /// only the most recently processed Ping frame".
    pub(super) fn answer(&mut self, ping: &[u8]) {
        if self.has_room_for_pong() {
            self.pong = None;
            self.push_pong(ping);
        } else if let Ok(len) = u8::try_from(ping.len()) {
            let pong = self.pong.get_or_insert_with(|| Box::new(Pong { payload: [0; 125], len: 0 }));
            if let Some(space) = pong.payload.get_mut(..ping.len()) {
                space.copy_from_slice(ping);
                pong.len = len;
            }
        }
    }

    /// Whether a pong may be queued. Many may while little waits to be written, otherwise one; so a peer
    /// that pings and does not read costs no memory.
    #[inline]
    fn has_room_for_pong(&self) -> bool {
        self.queue.len() < Self::PONGS_BELOW || !self.queue.holds_pong()
    }

    #[inline]
    pub(super) fn flush_pong(&mut self) {
        if self.pong.is_some() && self.has_room_for_pong() {
            self.push_waiting_pong();
        }
    }

    /// Queues the pong that waits, room or not: nothing may follow a Close.
    pub(super) fn push_waiting_pong(&mut self) {
        if let Some(pong) = self.pong.take() {
            self.push_pong(pong.payload.get(..usize::from(pong.len)).unwrap_or_default());
        }
    }

    fn push_pong(&mut self, payload: &[u8]) {
        self.push(Opcode::Pong, payload);
        self.queue.mark_pong();
    }

    #[inline]
    pub(super) fn wants_write(&self) -> bool {
        // A pong that waits does so behind others in the queue.
        !self.queue.is_empty() || self.pong.is_some()
    }

    /// Gives back the memory that is not in use.
    pub(super) fn release(&mut self) {
        self.queue.release();
        if let Some(compressor) = &mut self.compressor {
            compressor.release();
        }
    }
}

/// Commands.
impl Connection {
    /// Sends a message in one frame.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ws_core::{Config, Connection, Timestamp};
    ///
    /// let mut server = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    /// server.send("Hello")?;
    /// server.send(vec![0xAB; 65_536])?; // a large owned payload is queued without a copy
    /// assert_eq!(server.buffered(), 2 + 5 + 10 + 65_536);
    /// # Ok::<(), ws_core::SendError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Closed`](SendError::Closed), [`BufferFull`](SendError::BufferFull) or, between the chunks of
    /// another message, [`MessageInProgress`](SendError::MessageInProgress).
    #[inline]
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.admit_message()?;
        let message = message.into();
        if self.outgoing.compressor.is_none() && message.len() < Outgoing::SHARED_FROM {
            self.outgoing.push_short(opcode_of(&message), message.as_bytes());
        } else {
            let (opcode, payload) = into_parts(message);
            self.outgoing.push_message(opcode, payload);
        }
        Ok(())
    }

    /// Sends a piece of a message, as one frame. The first piece chooses text or binary, the last one ends
    /// the message; between them only pings, pongs and Closes can be sent.
    ///
    /// # Errors
    ///
    /// [`Closed`](SendError::Closed), [`BufferFull`](SendError::BufferFull) or, if the chunk is not of the
    /// kind of the message that it continues, [`WrongKind`](SendError::WrongKind).
    pub fn send_chunk(&mut self, chunk: Chunk<'_>) -> Result<(), SendError> {
        self.admit_data()?;
        let (kind, payload) = into_parts(chunk.payload);
        let (opcode, compressed) = match self.outgoing.message {
            None => (
                kind,
                self.outgoing.compressor.as_ref().is_some_and(|compressor| compressor.is_worth(usize::MAX)),
            ),
            Some((begun, compressed)) if begun == kind => (Opcode::Continuation, compressed),
            Some(_) => return Err(SendError::WrongKind),
        };
        let payload = match self.outgoing.compressor.as_mut().filter(|_| compressed) {
            Some(compressor) => Cow::Owned(compressor.compress(&payload, chunk.last)),
            None => payload,
        };
        let rsv1 = compressed && opcode != Opcode::Continuation;
        let header = Header { fin: chunk.last, rsv1, ..Header::new(opcode, payload.len() as u64) };
        self.outgoing.push_frame(header, payload);
        self.outgoing.message = (!chunk.last).then_some((kind, compressed));
        Ok(())
    }

    /// Sends a message that was encoded before.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    #[inline]
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        self.admit_message()?;
        self.outgoing.push_prepared(message);
        Ok(())
    }

    /// The bytes that [`send_prepared`](Self::send_prepared) would queue, if nothing waits before them: for a
    /// driver that sends one message to many and can spare the queue. Bytes that it writes count as sent. If
    /// it writes only some of them, it sends the message and [`advance`](bytes::Buf::advance)s
    /// [`transmit`](Self::transmit) by as many.
    ///
    /// `None` where the message has to be queued: something waits, the bytes would not be the same for
    /// others, or nothing can be sent.
    #[inline]
    pub fn prepared_frame<'m>(&mut self, message: &'m PreparedMessage) -> Option<Cow<'m, Bytes>> {
        if self.outgoing.wants_write() || self.admit_message().is_err() {
            return None;
        }
        self.outgoing.shared_frame(message)
    }

    /// The header before the payload of a message, if these are the bytes that [`send`](Self::send) would
    /// queue and nothing waits before them: for a driver that writes a large payload from where it lies,
    /// without a copy. What counts as sent is told as for [`prepared_frame`](Self::prepared_frame).
    ///
    /// `None` where the message has to be queued: something waits, the payload would be masked or
    /// compressed, or nothing can be sent.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use bytes::Buf;
    /// use ws_core::{Config, Connection, Message, Timestamp};
    ///
    /// # fn write(slices: [&[u8]; 2]) -> usize { 1000 }
    /// let mut server = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    /// let message = Message::from(&[0xAB; 65_536][..]);
    /// let header = server.frame_header(&message).expect("nothing waits");
    /// let written = write([&header, message.as_bytes()]);
    /// if written < header.len() + message.len() {
    ///     server.send(message.as_borrowed())?;
    ///     server.transmit().advance(written);
    /// }
    /// # Ok::<(), ws_core::SendError>(())
    /// ```
    #[inline]
    pub fn frame_header(&self, message: &Message<'_>) -> Option<EncodedHeader> {
        let Outgoing { masking, compressor, .. } = &self.outgoing;
        let queued = masking.is_some() || compressor.is_some() || self.outgoing.wants_write();
        if queued || self.admit_message().is_err() {
            return None;
        }
        Some(Header::new(opcode_of(message), message.len() as u64).encode())
    }

    /// Whether messages from now on are compressed, where that was agreed on; they are until told otherwise.
    /// For messages that hold secrets beside what others chose, see [`Deflate`](crate::Deflate).
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, enabled: bool) {
        if let Some(compressor) = &mut self.outgoing.compressor {
            compressor.enable(enabled);
        }
    }

    /// Sends a ping with at most 125 bytes of payload. The peer's pong comes as
    /// [`Event::Pong`](crate::Event::Pong).
    ///
    /// # Errors
    ///
    /// [`Closed`](SendError::Closed), [`BufferFull`](SendError::BufferFull) or
    /// [`ControlPayloadTooLong`](SendError::ControlPayloadTooLong).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send_control(Opcode::Ping, payload)
    }

    /// Sends an unsolicited pong (RFC 6455 section 5.5.3) with at most 125 bytes of payload. Pings are
    /// answered without it.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send_control(Opcode::Pong, payload)
    }

    fn send_control(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > 125 {
            return Err(SendError::ControlPayloadTooLong(payload.len()));
        }
        self.admit_data()?;
        self.outgoing.push(opcode, payload);
        Ok(())
    }

    #[inline]
    fn admit_message(&self) -> Result<(), SendError> {
        self.admit_data()?;
        if self.outgoing.message.is_some() {
            return Err(SendError::MessageInProgress);
        }
        Ok(())
    }

    #[inline]
    fn admit_data(&self) -> Result<(), SendError> {
        if self.closing.is_some() {
            return Err(SendError::Closed);
        }
        if self.outgoing.queue.len() >= self.config.write_buffer_size {
            return Err(SendError::BufferFull);
        }
        Ok(())
    }
}

#[inline]
const fn opcode_of(message: &Message<'_>) -> Opcode {
    if message.is_text() { Opcode::Text } else { Opcode::Binary }
}

#[inline]
fn into_parts(message: Message<'_>) -> (Opcode, Cow<'_, [u8]>) {
    match message {
        Message::Text(Cow::Borrowed(text)) => (Opcode::Text, Cow::Borrowed(text.as_bytes())),
        Message::Text(Cow::Owned(text)) => (Opcode::Text, Cow::Owned(text.into_bytes())),
        Message::Binary(bytes) => (Opcode::Binary, bytes),
    }
}
