//! Ways to bypass the queue and the read buffer, for drivers that need the highest throughput.

use alloc::{borrow::Cow, vec::Vec};
use core::mem;

use bytes::Bytes;

use super::{Connection, send::opcode_of};
use crate::{Message, PreparedMessage, SendError, Transmit, frame::EncodedHeader};

/// Optional shortcuts for fast drivers. They use the same accounting as the ordinary methods, and a driver is
/// complete without them.
impl Connection {
    /// Lets a driver read a large message directly into the memory where it is assembled, which saves a copy. `read`
    /// receives the payload so far and may append the bytes that it reads from the network, up to the capacity of the
    /// vector. Bytes beyond the capacity are dropped. `read` must not remove bytes, because that corrupts the
    /// message. If the payload completes the message, the next call of [`receive`](Self::receive) returns it.
    ///
    /// Returns `None` without calling `read` unless the next bytes belong to a binary message that is delivered as a
    /// whole, and are many: those after the first 64 KiB, or all bytes of a message if the message before it was as
    /// large. All input that was received before has to be drained first.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ws_core::{Config, Connection, Event, Message, Timestamp};
    /// use std::io::Read;
    ///
    /// # let mut server = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    /// # let header = [0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    /// # let bytes = [&header[..], &[7; 65_536]].concat();
    /// # let mut socket = &bytes[..];
    /// let mut buffer = [0; 4096];
    /// let message = loop {
    ///     let read = server.receive_in_place(|payload| {
    ///         let room = payload.capacity() - payload.len();
    ///         socket.by_ref().take(room as u64).read_to_end(payload)
    ///     });
    ///     let mut input = match read {
    ///         Some(read) => &mut buffer[..read.map(|_| 0)?],
    ///         None => {
    ///             let read = socket.read(&mut buffer)?;
    ///             &mut buffer[..read]
    ///         }
    ///     };
    ///     if let Some(Event::Message(message)) = server.receive(&mut input)? {
    ///         break message.into_owned();
    ///     }
    /// };
    /// assert_eq!(message, Message::from(vec![7; 65_536]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive_in_place<R>(&mut self, read: impl FnOnce(&mut Vec<u8>) -> R) -> Option<R> {
        if self.ignores_input() || self.incoming.is_holding() || self.outgoing.is_paused(&self.config) {
            return None;
        }
        let (result, came) = self.incoming.read_payload(&self.config, read)?;
        self.incoming.received |= came;
        Some(result)
    }

    /// Takes the bytes that [`send_prepared`](Self::send_prepared) would queue. It serves a driver that broadcasts
    /// one message to many connections and can write it at once. The bytes are in flight until
    /// [`written`](Self::written) reports them. The driver keeps the bytes that the transport does not accept, and
    /// writes them before any other output.
    ///
    /// Returns `None` if the message has to be queued: other output waits, the bytes are not the same for all
    /// connections, the message is larger than [`max_sent_frame_size`](crate::Config::max_sent_frame_size), or no message
    /// can be sent.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ws_core::{Config, Connection, PreparedMessage, Timestamp};
    ///
    /// # fn write(bytes: &[u8]) -> usize { bytes.len() }
    /// let mut server = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    /// let news = PreparedMessage::new("to all");
    /// let frame = server.take_prepared(&news).expect("nothing waits");
    /// assert_eq!(server.buffered(), frame.len());
    /// server.written(write(&frame));
    /// assert_eq!(server.buffered(), 0);
    /// ```
    #[inline]
    pub fn take_prepared(&mut self, message: &PreparedMessage) -> Option<Bytes> {
        if self.outgoing.unwritten() > 0 || self.admit_message().is_err() {
            return None;
        }
        let frame = self.outgoing.single_frame(message).map(Cow::into_owned)?;
        self.outgoing.log.sent_encoded(&frame);
        self.outgoing.in_flight = frame.len();
        Some(frame)
    }

    /// Returns the frame header for `message`, if `message` can be written without the queue: [`send`](Self::send)
    /// would queue exactly this header and the payload, and no other output waits. A driver can then write a large
    /// payload from its own memory, without a copy. Before any other send, report with
    /// [`sent_directly`](Self::sent_directly) how many bytes of the header and payload were written.
    ///
    /// Returns `None` if the message has to be queued: other output waits, the payload has to be masked, the connection
    /// compresses or [splits](crate::Config::max_sent_frame_size) messages, or no message can be sent.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ws_core::{Config, Connection, Message, Timestamp};
    ///
    /// # fn write(slices: [&[u8]; 2]) -> usize { 1000 }
    /// let mut server = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    /// let message = Message::from(&[0xAB; 65_536][..]);
    /// let header = server.frame_header(&message).expect("nothing waits");
    /// let written = write([&header, message.as_bytes()]);
    /// server.sent_directly(message, written)?;
    /// assert_eq!(server.buffered(), 10 + 65_536 - 1000);
    /// # Ok::<(), ws_core::SendError>(())
    /// ```
    #[inline]
    pub fn frame_header(&self, message: &Message<'_>) -> Option<EncodedHeader> {
        if self.outgoing.unwritten() > 0 || self.admit_message().is_err() {
            return None;
        }
        self.outgoing.plain_header(opcode_of(message), message.len())
    }

    /// Reports that the first `written` bytes of a message were written without the queue, and queues the rest. The
    /// count includes the [`frame_header`](Self::frame_header).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send`](Self::send) if the connection has changed since `frame_header`.
    #[inline]
    pub fn sent_directly(&mut self, message: Message<'_>, written: usize) -> Result<(), SendError> {
        let header = self.frame_header(&message);
        if header.is_some_and(|header| written == header.len().saturating_add(message.len())) {
            self.outgoing.log.sent_whole(opcode_of(&message), message.len());
            self.outgoing.record_written(written);
            return Ok(());
        }
        self.send(message)?;
        bytes::Buf::advance(&mut self.transmit(), written);
        Ok(())
    }

    /// Lends memory for output to the connection, if it has none of its own in use. A driver that serves many
    /// connections from one thread owns one `Transmit` for all of them. It lends it before it passes input to the
    /// connection, and takes it back after the write with [`reclaim_transmit`](Self::reclaim_transmit). So an idle
    /// connection owns no memory, and messages allocate none.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use bytes::Buf;
    /// use ws_core::{Config, Connection, Timestamp, Transmit};
    ///
    /// let mut connection = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    /// let mut spare = Transmit::default();
    /// for message in ["one", "two"] {
    ///     connection.lend_transmit(&mut spare);
    ///     connection.send(message)?;
    ///     let waiting = connection.buffered();
    ///     connection.transmit().advance(waiting); // a driver writes these bytes
    ///     connection.reclaim_transmit(&mut spare);
    /// }
    /// # Ok::<(), ws_core::SendError>(())
    /// ```
    #[inline]
    pub fn lend_transmit(&mut self, spare: &mut Transmit) {
        if self.outgoing.queue.is_empty() && spare.is_empty() {
            self.outgoing.queue = mem::take(spare);
        }
    }

    /// Takes back the memory from [`lend_transmit`](Self::lend_transmit), if the queue is empty. Otherwise the
    /// connection keeps it until a later call finds the queue empty.
    #[inline]
    pub fn reclaim_transmit(&mut self, spare: &mut Transmit) {
        if self.outgoing.queue.is_empty() {
            let queue = mem::take(&mut self.outgoing.queue);
            if !spare.owns_memory() {
                *spare = queue;
            }
        }
    }
}
