//! Messages that wait for a peer which reads more slowly than they come.

use std::{collections::VecDeque, fmt};

use ws_core::{Message, PreparedMessage};

/// How much may wait for a session whose peer reads slowly, beyond what its write buffer and the operating
/// system hold, and what happens to more.
///
/// ```
/// use ws_transport::{Backlog, Overflow};
///
/// // For prices, where only the last counts:
/// let backlog = Backlog { overflow: Overflow::KeepLatest, ..Backlog::default() };
/// assert_eq!((backlog.messages, backlog.bytes), (256, 1 << 20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The most messages that wait; 256.
    pub messages: usize,
    /// The most bytes of payload that wait; 1 MiB. A single message may have more.
    pub bytes: usize,
    /// What happens when a message finds no room; the session is disconnected.
    pub overflow: Overflow,
}

impl Default for Backlog {
    fn default() -> Self {
        Self { messages: 256, bytes: 1 << 20, overflow: Overflow::Disconnect }
    }
}

/// What happens when a message finds no room among those that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The session is closed with 1013 (try again later), so that a peer which is connected misses nothing.
    #[default]
    Disconnect,
    /// The messages that wait longest make room.
    DropOldest,
    /// The message is dropped.
    DropNewest,
    /// Only the latest message waits; it replaces the one before, room or not.
    KeepLatest,
}

/// A message to be queued without waiting.
pub struct Post<'m> {
    /// What to send.
    pub payload: Payload<'m>,
    /// How much may wait; asked only if it has to.
    pub backlog: &'m dyn Fn() -> Backlog,
    /// Whether to fail instead of doing what [`Backlog::overflow`] says.
    pub refuse: bool,
    /// Whether it answers what is being received: then it may wait for the end of the batch, and where there
    /// is no room for it, nothing more is received until there is.
    pub answer: bool,
}

impl fmt::Debug for Post<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("payload", &self.payload).finish_non_exhaustive()
    }
}

/// What a [`Post`] carries.
#[derive(Debug)]
pub enum Payload<'m> {
    /// A message for one.
    Message(Message<'m>),
    /// A message that goes to others as well.
    Prepared(&'m PreparedMessage),
}

impl Payload<'_> {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Prepared(message) => message.len(),
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn prepare(self) -> PreparedMessage {
        match self {
            Self::Message(message) => PreparedMessage::new(message),
            Self::Prepared(message) => message.clone(),
        }
    }
}

/// What became of a [`Post`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// How many messages were dropped, this one or others.
    pub dropped: usize,
    /// Whether these are the first since the peer last kept up.
    pub lagging: bool,
    /// Whether the session was closed because of it.
    pub disconnected: bool,
}

/// There was no room, and none was to be made.
#[derive(Debug)]
pub(crate) struct Full;

/// The messages that wait. Made when the first has to, gone when the last has gone.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    messages: VecDeque<Waiting>,
    answers: Total,
    others: Total,
    lagging: bool,
}

#[derive(Debug)]
struct Waiting {
    message: PreparedMessage,
    /// Whether it answers what was received. Such a one is never dropped, and takes no room from others.
    answer: bool,
}

#[derive(Debug, Default)]
struct Total {
    messages: usize,
    bytes: usize,
}

impl Outbox {
    /// Queues an answer. How many there are is bounded by what is received before they have gone.
    pub(crate) fn push_answer(&mut self, message: PreparedMessage) {
        self.answers.add(&message);
        self.messages.push_back(Waiting { message, answer: true });
    }

    pub(crate) const fn has_answers(&self) -> bool {
        self.answers.messages > 0
    }

    pub(crate) fn push(
        &mut self,
        message: PreparedMessage,
        backlog: Backlog,
        refuse: bool,
    ) -> Result<Posted, Full> {
        let mut dropped = 0;
        if !refuse && matches!(backlog.overflow, Overflow::KeepLatest | Overflow::DropOldest) {
            let latest_only = backlog.overflow == Overflow::KeepLatest;
            while (latest_only || !self.fits(&message, backlog)) && self.drop_oldest() {
                dropped += 1;
            }
        }
        if self.fits(&message, backlog) {
            self.others.add(&message);
            self.messages.push_back(Waiting { message, answer: false });
        } else {
            match backlog.overflow {
                _ if refuse => return Err(Full),
                Overflow::Disconnect => {
                    dropped = self.messages.len() + 1;
                    return Ok(Posted { dropped, lagging: !self.lagging, disconnected: true });
                }
                _ => dropped += 1,
            }
        }
        let lagging = dropped > 0 && !self.lagging;
        self.lagging |= lagging;
        Ok(Posted { dropped, lagging, disconnected: false })
    }

    pub(crate) fn front(&self) -> Option<&PreparedMessage> {
        self.messages.front().map(|waiting| &waiting.message)
    }

    pub(crate) fn pop(&mut self) {
        self.remove(0);
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.answers.bytes + self.others.bytes
    }

    /// Drops the message that waits longest; tells whether there was one that may be.
    fn drop_oldest(&mut self) -> bool {
        let oldest = self.messages.iter().position(|waiting| !waiting.answer);
        oldest.inspect(|&at| self.remove(at)).is_some()
    }

    fn remove(&mut self, at: usize) {
        let Some(Waiting { message, answer }) = self.messages.remove(at) else { return };
        let total = if answer { &mut self.answers } else { &mut self.others };
        total.messages -= 1;
        total.bytes -= message.len();
    }

    fn fits(&self, message: &PreparedMessage, backlog: Backlog) -> bool {
        let Total { messages, bytes } = self.others;
        messages < backlog.messages && (messages == 0 || bytes.saturating_add(message.len()) <= backlog.bytes)
    }
}

impl Total {
    fn add(&mut self, message: &PreparedMessage) {
        self.messages += 1;
        self.bytes += message.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes messages of these lengths and gives what waits then, and what became of each push.
    fn push_all(backlog: Backlog, lengths: &[usize]) -> (Vec<usize>, Vec<Posted>) {
        let mut outbox = Outbox::default();
        let push = |&len: &usize| outbox.push(PreparedMessage::new(vec![0; len]), backlog, false).unwrap();
        let posted = lengths.iter().map(push).collect();
        let waiting = outbox.messages.iter().map(|waiting| waiting.message.len()).collect::<Vec<_>>();
        assert_eq!(outbox.bytes(), waiting.iter().sum::<usize>());
        (waiting, posted)
    }

    fn backlog(messages: usize, bytes: usize, overflow: Overflow) -> Backlog {
        Backlog { messages, bytes, overflow }
    }

    fn dropped(posted: &[Posted]) -> Vec<usize> {
        posted.iter().map(|posted| posted.dropped).collect()
    }

    #[test]
    fn the_oldest_make_room_for_the_newest() {
        let (waiting, posted) = push_all(backlog(3, 100, Overflow::DropOldest), &[1, 2, 3, 4, 98]);
        assert_eq!(waiting, [98], "1 + 98 bytes would do, 4 + 98 not");
        assert_eq!(dropped(&posted), [0, 0, 0, 1, 3]);
        assert_eq!(posted.iter().filter(|posted| posted.lagging).count(), 1, "told once");
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
        assert_eq!(posted[2], Posted { dropped: 3, lagging: true, disconnected: true });
    }

    #[test]
    fn answers_are_never_dropped_and_take_no_room_from_others() {
        for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::KeepLatest] {
            let mut outbox = Outbox::default();
            for len in 1..=9 {
                outbox.push_answer(PreparedMessage::new(vec![0; len]));
                outbox.push(PreparedMessage::new(vec![0; 50]), backlog(2, 100, overflow), false).unwrap();
            }
            let kept = outbox.messages.iter().filter(|waiting| waiting.answer).map(|it| it.message.len());
            assert_eq!(Vec::from_iter(kept), Vec::from_iter(1..=9), "{overflow:?}");
            let others = if overflow == Overflow::KeepLatest { 1 } else { 2 };
            assert_eq!((outbox.others.messages, outbox.others.bytes), (others, others * 50), "{overflow:?}");
            while outbox.front().is_some() {
                outbox.pop();
            }
            assert_eq!((outbox.bytes(), outbox.has_answers()), (0, false), "{overflow:?}");
        }
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
