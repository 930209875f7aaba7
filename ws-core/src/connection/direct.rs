//! Ways past the queue and the read buffer, for drivers that want the last bit of speed.

use alloc::{borrow::Cow, vec::Vec};
use core::mem;

use bytes::Bytes;

use super::{Connection, send::opcode_of};
use crate::{Message, PreparedMessage, SendError, Transmit, frame::EncodedHeader};

/// Side doors for fast drivers. They take and report as the ordinary ways do, and a driver is complete without them.
impl Connection {
    /// Lets a driver read a large message to where it is assembled, which saves a copy. `read` gets the payload so far
    /// and may append what it reads from the network, up to the capacity of the vector. More than that is dropped, and
    /// a closure that removes bytes spoils the message. Then [`receive`](Self::receive) returns the message if that was
    /// its end.
    ///
    /// `read` is not called, and this returns `None`, unless the next bytes to come belong to a binary message that is
    /// delivered as a whole, and are many: those after the first 64 KiB, or all of a message that follows one as large.
    /// Everything that was received before has to be drained first.
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

    /// Takes the bytes that [`send_prepared`](Self::send_prepared) would queue: for a driver that sends one message to
    /// many connections and can write it at once. The bytes are in flight until [`written`](Self::written) reports
    /// them. A driver keeps those that the transport does not accept, and writes them before anything else.
    ///
    /// Returns `None` if the message has to be queued: output waits, the bytes would not be the same for other
    /// connections, or nothing can be sent.
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
        let frame = self.outgoing.shared_frame(message).map(Cow::into_owned)?;
        self.outgoing.in_flight = frame.len();
        Some(frame)
    }

    /// Returns the header before the payload of `message`, if these are the bytes that [`send`](Self::send) would queue
    /// and nothing waits before them: for a driver that writes a large payload from where it lies, without a copy.
    /// Report with [`sent_directly`](Self::sent_directly) how much of both was written, before anything else is sent.
    ///
    /// Returns `None` if the message has to be queued: output waits, the payload has to be masked or compressed, or
    /// nothing can be sent.
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

    /// Reports that the first `written` bytes of a message, its [`frame_header`](Self::frame_header) included, were
    /// written past the queue, and queues the rest.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), if the connection has changed since `frame_header`.
    #[inline]
    pub fn sent_directly(&mut self, message: Message<'_>, written: usize) -> Result<(), SendError> {
        let header = self.frame_header(&message);
        if header.is_some_and(|header| written == header.len().saturating_add(message.len())) {
            self.outgoing.record_written(written);
            return Ok(());
        }
        self.send(message)?;
        bytes::Buf::advance(&mut self.transmit(), written);
        Ok(())
    }

    /// Lends the connection memory for output, if it has none of its own in use. A driver that serves many connections
    /// from one thread owns one `Transmit` for all. It lends it before it passes input on, and takes it back after the
    /// write with [`reclaim_transmit`](Self::reclaim_transmit). Then no idle connection owns memory, and no message
    /// allocates any.
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
    ///     connection.transmit().advance(waiting); // a driver would write them
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

    /// Takes back the memory that [`lend_transmit`](Self::lend_transmit) lent, if the queue is empty. Otherwise the
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
