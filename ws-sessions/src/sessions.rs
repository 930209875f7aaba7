use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use ws_core::{CloseCode, CloseFrame, Message, PreparedMessage};
use ws_transport::Error;

use crate::{Session, SessionId, SessionStats, Stats, deferred, excerpt::TextExcerpt};

/// A set of sessions to look up, count, broadcast to and close. It contains all sessions of a server, or the sessions
/// of one room.
///
/// A session can be in any number of sets. It leaves all of them when it ends. Clones are handles to the same set.
///
/// ```
/// use ws_sessions::{Callbacks, Sessions};
///
/// let everyone = Sessions::new();
/// let callbacks = Callbacks::new()
///     .sessions(&everyone)
///     .on_message(move |session, message| {
///         everyone.broadcast(format!("{}: {message}", session.id()));
///     });
/// ```
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<Members>>);

#[derive(Default)]
struct Members {
    by_id: BTreeMap<SessionId, Session>,
    /// The same sessions, for iteration without the lock. `None` after a change, until the next use.
    all: Option<Arc<[Session]>>,
    /// Counters of the sessions that have left.
    ended: Stats,
    /// The name of a room. When the room is dropped, its name is removed from the list of rooms.
    _name: Option<RoomName>,
}

impl Sessions {
    /// Creates an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a session. Returns `true` if it was not in the set before. A session that has ended is not added.
    pub fn insert(&self, session: &Session) -> bool {
        session.enter(self, || {
            let mut members = self.members();
            let new = members.by_id.insert(session.id(), session.clone()).is_none();
            if new {
                members.all = None;
                members.ended.opened += 1;
                // The set does not count the earlier traffic of the session.
                members.ended.sum.subtract(&SessionStats::of(session.traffic()));
            }
            new
        })
    }

    /// Removes a session and returns it. `None` if it was not in the set. The session stays connected.
    pub fn remove(&self, id: SessionId) -> Option<Session> {
        let session = self.members().remove(id)?;
        session.left(self);
        Some(session)
    }

    /// Returns the session with this number.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<Session> {
        self.members().by_id.get(&id).cloned()
    }

    /// Returns `true` if the session is in the set.
    #[must_use]
    pub fn contains(&self, id: SessionId) -> bool {
        self.members().by_id.contains_key(&id)
    }

    /// Returns the number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members().by_id.len()
    }

    /// Returns `true` if the set contains no sessions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all current sessions, the oldest first.
    #[must_use]
    pub fn all(&self) -> Arc<[Session]> {
        self.members().all()
    }

    /// Broadcasts a message to all sessions. The message is encoded once. It is compressed once for all sessions that
    /// negotiated the same parameters without context takeover.
    ///
    /// Returns the number of sessions that accepted the message. A session whose [backlog](ws_transport::Backlog)
    /// drops the message is counted. A session that has ended is not.
    pub fn broadcast<'m>(&self, message: impl Into<Message<'m>>) -> usize {
        self.broadcast_where(message, |_| true)
    }

    /// Broadcasts a message to all sessions except one. Returns the same number as [`broadcast`](Self::broadcast).
    pub fn broadcast_except<'m>(&self, except: SessionId, message: impl Into<Message<'m>>) -> usize {
        self.broadcast_where(message, |session| session.id() != except)
    }

    /// Broadcasts a message to the sessions for which `chosen` returns `true`. Returns the same number as
    /// [`broadcast`](Self::broadcast).
    pub fn broadcast_where<'m>(
        &self,
        message: impl Into<Message<'m>>,
        chosen: impl FnMut(&Session) -> bool,
    ) -> usize {
        let all = self.all();
        if all.is_empty() {
            return 0;
        }
        send_all(&all, &PreparedMessage::new(message), chosen)
    }

    /// Broadcasts a message that is already encoded. Returns the same number as [`broadcast`](Self::broadcast).
    pub fn broadcast_prepared(&self, message: &PreparedMessage) -> usize {
        send_all(&self.all(), message, |_| true)
    }

    /// Closes all sessions. [`Session::close`] describes the closing of each session.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Send`] if the code cannot be sent, or if the reason has more than 123 bytes. In this case no
    /// session is closed. [`CloseFrame::truncate_reason`] cuts a reason if the application does not control its
    /// length.
    pub fn close_all(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        CloseFrame::new(code, reason)?;
        for session in &*self.all() {
            // It cannot fail: this code and reason can be sent.
            let _ = session.close(code, reason);
        }
        Ok(())
    }

    /// Returns the sums over all sessions for the time that each one was in this set. The sums include sessions that
    /// have left. The counters never decrease.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (all, mut stats) = {
            let members = &mut *self.members();
            let mut stats = members.ended.clone();
            // Read under the lock, which `remove` also takes: a session that has left still counts, but not for this
            // set.
            for session in members.by_id.values() {
                stats.sum.add(&SessionStats::of(session.traffic()));
            }
            (members.all(), stats)
        };
        stats.open = all.len();
        for session in &*all {
            session.look(&mut |driver| stats.sum.add_gauges(driver));
        }
        stats
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Removes a session that has ended.
    pub(crate) fn forget(&self, session: &Session) {
        self.members().remove(session.id());
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send_all(
    sessions: &[Session],
    message: &PreparedMessage,
    mut chosen: impl FnMut(&Session) -> bool,
) -> usize {
    // Callbacks that the sends cause, such as another broadcast, run after this broadcast has reached all sessions.
    deferred::scope(|| {
        sessions.iter().filter(|session| chosen(session) && session.send_prepared(message).is_ok()).count()
    })
}

impl Members {
    fn all(&mut self) -> Arc<[Session]> {
        self.all.get_or_insert_with(|| self.by_id.values().cloned().collect()).clone()
    }

    fn remove(&mut self, id: SessionId) -> Option<Session> {
        let session = self.by_id.remove(&id)?;
        self.all = None;
        self.ended.sum.add(&SessionStats::of(session.traffic()));
        Some(session)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions({})", self.len())
    }
}

/// Sets of sessions by name (rooms). The first session that joins a room creates it. The room ends, and its memory is
/// freed, when the last session has left and the application holds no handle to the room.
///
/// ```
/// use ws_sessions::{Callbacks, Rooms};
///
/// let rooms = Rooms::new();
/// let callbacks = Callbacks::new().on_connect(move |session| {
///     let room = rooms.join(session.parameter("room").unwrap_or("lobby"), session);
///     room.broadcast(format!("{} people are here", room.len()));
/// });
/// ```
#[derive(Clone, Default)]
pub struct Rooms(Arc<Mutex<ByName>>);

#[derive(Default)]
struct ByName {
    rooms: HashMap<Arc<str>, Weak<Mutex<Members>>>,
}

/// The name of a room. Dropping it removes the name from the list of rooms, which locks the list. So a handle to a
/// room must not be dropped while the list is locked.
struct RoomName {
    name: Arc<str>,
    list: Weak<Mutex<ByName>>,
}

impl Drop for RoomName {
    fn drop(&mut self) {
        let Some(list) = self.list.upgrade() else { return };
        let mut by_name = list.lock().unwrap_or_else(PoisonError::into_inner);
        // Another room may already use the name.
        if by_name.rooms.get(&self.name).is_some_and(|room| room.strong_count() == 0) {
            by_name.rooms.remove(&self.name);
            by_name.shrink();
        }
    }
}

impl Rooms {
    /// Creates an empty list of rooms.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a session to the room with this name, and returns the room.
    pub fn join(&self, name: &str, session: &Session) -> Sessions {
        let room = self.get_or_create(name);
        room.insert(session);
        room
    }

    fn get_or_create(&self, name: &str) -> Sessions {
        let by_name = &mut *self.by_name();
        if let Some(room) = by_name.rooms.get(name).and_then(Weak::upgrade) {
            return Sessions(room);
        }
        let name = Arc::<str>::from(name);
        let room_name = RoomName { name: name.clone(), list: Arc::downgrade(&self.0) };
        let room = Arc::new(Mutex::new(Members { _name: Some(room_name), ..Members::default() }));
        by_name.rooms.insert(name, Arc::downgrade(&room));
        Sessions(room)
    }

    /// Removes a session from the room with this name. Returns `true` if the session was in the room.
    pub fn leave(&self, name: &str, session: &Session) -> bool {
        self.get(name).is_some_and(|room| room.remove(session.id()).is_some())
    }

    /// Returns the room with this name. `None` if it has no members.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Sessions> {
        let room = self.by_name().rooms.get(name).and_then(Weak::upgrade);
        room.map(Sessions).filter(|room| !room.is_empty())
    }

    /// Returns all rooms that have members, in no particular order.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Sessions)> {
        let named = |(name, room): (&Arc<str>, &Weak<_>)| Some((name.clone(), Sessions(room.upgrade()?)));
        let rooms: Vec<_> = self.by_name().rooms.iter().filter_map(named).collect();
        let rooms = rooms.into_iter().filter(|(_, room)| !room.is_empty());
        rooms.map(|(name, room)| ((*name).to_owned(), room)).collect()
    }

    fn by_name(&self) -> MutexGuard<'_, ByName> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByName {
    /// Frees the memory of removed names, each time that three quarters of the capacity are unused.
    fn shrink(&mut self) {
        if self.rooms.len() < self.rooms.capacity() / 4 {
            self.rooms.shrink_to(self.rooms.len() * 2);
        }
    }
}

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Maximum number of rooms in the output.
        const MAX_SHOWN: usize = 8;
        let all = self.all();
        f.debug_map()
            .entries(all.iter().take(MAX_SHOWN).map(|(name, room)| (TextExcerpt(name), room)))
            .finish()?;
        if all.len() > MAX_SHOWN { write!(f, ".. {} in all", all.len()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rooms_are_freed_with_the_rooms() {
        let rooms = Rooms::new();
        let handles: Vec<_> = (0..10_000).map(|number| rooms.get_or_create(&number.to_string())).collect();
        assert_eq!(rooms.by_name().rooms.len(), 10_000);
        drop(handles);
        assert_eq!(rooms.by_name().rooms.capacity(), 0);
    }
}
