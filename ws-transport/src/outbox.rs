//! Messages that wait for a slow peer.

use std::{collections::VecDeque, fmt};

use ws_core::{Connection, Message, PreparedMessage, SendError};

/// Limits of the messages that wait for a session with a slow peer, in addition to its write buffer and the
/// buffers of the operating system, and the policy for further messages.
///
/// ```
/// use ws_transport::{Backlog, Overflow};
///
/// // For prices, of which only the latest matters:
/// let backlog = Backlog { overflow: Overflow::KeepLatest, ..Backlog::default() };
/// assert_eq!((backlog.messages, backlog.bytes), (256, 1 << 20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Maximum number of waiting messages. Default: 256.
    pub messages: usize,
    /// Maximum size of the waiting payloads in bytes. A single message may be larger. Default: 1 MiB.
    pub bytes: usize,
    /// Policy for a message that does not fit. Default: disconnect the session.
    pub overflow: Overflow,
}

impl Default for Backlog {
    fn default() -> Self {
        Self { messages: 256, bytes: 1 << 20, overflow: Overflow::Disconnect }
    }
}

/// The policy for a message that does not fit into the send queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The session is closed with 1013 (try again later), so that a connected peer never misses a message.
    #[default]
    Disconnect,
    /// The oldest waiting messages are dropped to make room.
    DropOldest,
    /// The message is dropped.
    DropNewest,
    /// Only the latest message waits. It replaces the previous one even if there is room. The operating system accepts at most
    /// about 4 KiB that it cannot send yet (`TCP_NOTSENT_LOWAT` on Linux). The peer reads these and the messages in its own
    /// receive buffer before the latest message.
    KeepLatest,
}

/// A message of a session, to be queued without waiting.
pub struct Outgoing<'m> {
    /// The message.
    pub payload: OutgoingPayload<'m>,
    /// Limits of the waiting messages. It is called only if this message has to wait.
    pub backlog: &'m dyn Fn() -> Backlog,
    /// Policy for this message when the queue is full.
    pub kind: OutgoingKind,
}

/// The policy for a message when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingKind {
    /// [`Backlog::overflow`] applies.
    Send,
    /// It is refused.
    TrySend,
    /// It is queued regardless of the limits, and no more input is received until it is written. This is for the
    /// answer to a received message. It may wait for the end of the batch.
    Reply,
}

/// State of the network: it accepts or refuses output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// No refusal is known.
    Accepts,
    /// It has refused some output.
    Refuses,
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("payload", &self.payload)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// The message in an [`Outgoing`].
#[derive(Debug)]
pub enum OutgoingPayload<'m> {
    /// A message for one session.
    Message(Message<'m>),
    /// A broadcast message, which other sessions receive as well.
    Prepared(&'m PreparedMessage),
}

impl OutgoingPayload<'_> {
    /// Returns the length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Prepared(message) => message.len(),
        }
    }

    /// Returns `true` if the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn prepare(self) -> Waiting {
        match self {
            Self::Message(message) => Waiting { message: PreparedMessage::new(message), is_shared: false },
            Self::Prepared(message) => Waiting { message: message.clone(), is_shared: true },
        }
    }

    pub(crate) fn send(self, connection: &mut Connection) -> Result<(), SendError> {
        match self {
            Self::Message(message) => connection.send(message),
            Self::Prepared(message) => connection.send_prepared(message),
        }
    }

    pub(crate) fn reply(self, connection: &mut Connection) -> Result<(), SendError> {
        match self {
            Self::Message(message) => connection.reply(message),
            Self::Prepared(message) => connection.reply_prepared(message),
        }
    }
}

/// The result of sending an [`Outgoing`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOutcome {
    /// Number of messages that were dropped, this one or others.
    pub dropped: usize,
    /// `true` if these are the first dropped messages since the peer last kept up.
    pub lagging: bool,
    /// `true` if this message caused the session to be closed.
    pub disconnected: bool,
}

/// The error for a message that a full queue refuses.
#[derive(Debug)]
pub(crate) struct Full;

/// A message that waits.
pub(crate) struct Waiting {
    pub(crate) message: PreparedMessage,
    /// `true` if other sessions may have the same message, so that its memory is not that of this session.
    pub(crate) is_shared: bool,
}

impl Waiting {
    fn own_len(&self) -> usize {
        if self.is_shared { 0 } else { self.message.len() }
    }
}

/// Waiting messages. The outbox is created for the first of them, and dropped with the last one.
#[derive(Default)]
pub(crate) struct Outbox {
    messages: VecDeque<Waiting>,
    bytes: usize,
    /// Number of bytes in messages of this session alone.
    own_bytes: usize,
    lagging: bool,
}

/// Without the messages.
impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("messages", &self.messages.len())
            .field("bytes", &self.bytes)
            .field("lagging", &self.lagging)
            .finish()
    }
}

impl Outbox {
    pub(crate) fn push(
        &mut self,
        waiting: Waiting,
        backlog: Backlog,
        kind: OutgoingKind,
    ) -> Result<SendOutcome, Full> {
        let refuses = kind == OutgoingKind::TrySend;
        let (mut dropped, message) = (0, &waiting.message);
        if !refuses && matches!(backlog.overflow, Overflow::KeepLatest | Overflow::DropOldest) {
            let latest_only = backlog.overflow == Overflow::KeepLatest;
            while (latest_only || !self.fits(message, backlog)) && self.drop_oldest() {
                dropped += 1;
            }
        }
        if self.fits(message, backlog) {
            self.bytes += message.len();
            self.own_bytes += waiting.own_len();
            self.messages.push_back(waiting);
        } else {
            match backlog.overflow {
                _ if refuses => return Err(Full),
                Overflow::Disconnect => {
                    dropped = self.messages.len() + 1;
                    return Ok(SendOutcome { dropped, lagging: !self.lagging, disconnected: true });
                }
                _ => dropped += 1,
            }
        }
        let lagging = dropped > 0 && !self.lagging;
        self.lagging |= lagging;
        Ok(SendOutcome { dropped, lagging, disconnected: false })
    }

    pub(crate) fn front(&self) -> Option<&Waiting> {
        self.messages.front()
    }

    pub(crate) fn pop(&mut self) {
        self.drop_oldest();
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// Drops the oldest waiting message. Returns `false` if the queue is empty.
    fn drop_oldest(&mut self) -> bool {
        let oldest = self.messages.pop_front();
        if let Some(oldest) = &oldest {
            self.bytes -= oldest.message.len();
            self.own_bytes -= oldest.own_len();
        }
        oldest.is_some()
    }

    fn fits(&self, message: &PreparedMessage, backlog: Backlog) -> bool {
        let messages = self.messages.len();
        messages < backlog.messages
            && (messages == 0 || self.bytes.saturating_add(message.len()) <= backlog.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes messages of these lengths. Returns the waiting messages and the outcome of each push.
    fn push_all(backlog: Backlog, lengths: &[usize]) -> (Vec<usize>, Vec<SendOutcome>) {
        let mut outbox = Outbox::default();
        let push =
            |&len: &usize| outbox.push(waiting(len, len % 2 == 0), backlog, OutgoingKind::Send).unwrap();
        let posted = lengths.iter().map(push).collect();
        let waiting = outbox.messages.iter().map(|waiting| waiting.message.len()).collect::<Vec<_>>();
        assert_eq!(outbox.bytes(), waiting.iter().sum::<usize>());
        assert_eq!(outbox.own_bytes(), waiting.iter().filter(|len| *len % 2 == 1).sum::<usize>());
        (waiting, posted)
    }

    fn waiting(len: usize, is_shared: bool) -> Waiting {
        Waiting { message: PreparedMessage::new(vec![0; len]), is_shared }
    }

    fn backlog(messages: usize, bytes: usize, overflow: Overflow) -> Backlog {
        Backlog { messages, bytes, overflow }
    }

    fn dropped(posted: &[SendOutcome]) -> Vec<usize> {
        posted.iter().map(|posted| posted.dropped).collect()
    }

    #[test]
    fn the_oldest_make_room_for_the_newest() {
        let (waiting, posted) = push_all(backlog(3, 100, Overflow::DropOldest), &[1, 2, 3, 4, 98]);
        assert_eq!(waiting, [98], "1 + 98 bytes would do, 4 + 98 not");
        assert_eq!(dropped(&posted), [0, 0, 0, 1, 3]);
        assert_eq!(posted.iter().filter(|posted| posted.lagging).count(), 1, "reported once");
    }

    #[test]
    fn the_newest_are_dropped_while_the_oldest_wait() {
        let (waiting, posted) = push_all(backlog(2, 100, Overflow::DropNewest), &[1, 2, 3, 4]);
        assert_eq!((waiting, dropped(&posted)), (vec![1, 2], vec![0, 0, 1, 1]));
    }

    #[test]
    fn only_the_latest_waits() {
        let (waiting, posted) = push_all(backlog(9, 100, Overflow::KeepLatest), &[1, 2, 3]);
        assert_eq!((waiting, dropped(&posted)), (vec![3], vec![0, 1, 1]));
    }

    #[test]
    fn who_must_miss_nothing_is_disconnected() {
        let (_, posted) = push_all(backlog(2, 100, Overflow::Disconnect), &[1, 2, 3]);
        assert_eq!(posted[2], SendOutcome { dropped: 3, lagging: true, disconnected: true });
    }

    #[test]
    fn a_single_message_may_be_larger_than_all_that_may_wait() {
        let (waiting, posted) = push_all(backlog(9, 100, Overflow::DropNewest), &[1000, 1]);
        assert_eq!((waiting, dropped(&posted)), (vec![1000], vec![0, 1]));
    }

    #[test]
    fn where_nothing_may_wait_nothing_does() {
        for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::KeepLatest] {
            assert_eq!(push_all(backlog(0, 100, overflow), &[1]).0, [0; 0], "{overflow:?}");
        }
    }
}
