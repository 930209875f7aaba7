use std::collections::{BTreeMap, VecDeque};

use ws_core::{CloseCode, PreparedMessage};
use ws_sessions::{Session, Sessions};

use crate::{
    backplane::Claim,
    nick::fold,
    protocol::{Event, FromServer, Id},
};

/// The state of one room in this process.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// The members that are connected to this process.
    sessions: Sessions,
    holders: BTreeMap<String, Holder>,
    /// All members, on any process, by case-folded name.
    people: BTreeMap<String, String>,
    history: VecDeque<(Id, PreparedMessage)>,
    /// Size of the messages in `history` on the wire, in bytes.
    kept: usize,
    /// Maximum number of messages in `history`.
    most: usize,
    /// The last event that may be missing in `history`.
    forgotten: Option<Id>,
    last: Id,
}

/// The result of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// A new member has joined.
    New,
    /// A member has reconnected: the new session replaces the old one.
    Again,
    /// Another member has the name.
    Taken,
}

/// The claim that holds a name in this process, and the event that granted it.
#[derive(Debug)]
struct Holder {
    claim: Claim,
    by: Id,
}

impl Room {
    /// Close code of a connection that was replaced by another one of the same client.
    pub(crate) const REPLACED: CloseCode = CloseCode::new(4000);

    /// Maximum number of names in a list of members.
    const NAMES: usize = 100;
    /// Maximum size of the names in a list of members, in bytes. With their limit of 24 characters, 100 names have at
    /// most 9,900 bytes.
    const NAMES_SIZE: usize = 11_000;
    /// Maximum size of the kept messages on the wire, in bytes. With the list of members and 1,000 bytes for the rest of
    /// a welcome, a client that joins receives at most 64,000 bytes.
    const HISTORY_SIZE: usize = 52_000;
    /// Maximum size of the header of a frame, in bytes.
    const HEADER_SIZE: usize = 10;

    /// Creates a room that keeps at most `most` messages. Its history up to `forgotten` is unknown.
    pub(crate) fn new(most: usize, forgotten: Option<Id>) -> Self {
        Self { most, forgotten, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.people.is_empty() && self.holders.is_empty()
    }

    /// Admits the claim like [`admit`](Self::admit) unless another member of this process has the name.
    pub(crate) fn admit_unless_taken(&mut self, claim: &Claim) -> Admission {
        let holder = self.holders.get(&fold(&claim.nick));
        match holder.is_some_and(|holder| claim.key.is_empty() || holder.claim.key != claim.key) {
            true => Admission::Taken,
            false => self.admit(claim, Id::default()),
        }
    }

    /// Adds a session to the room. It receives a welcome, the messages that it missed, and all later events.
    pub(crate) fn admit(&mut self, claim: &Claim, by: Id) -> Admission {
        let Claim { session, room, nick, after, .. } = claim;
        let admission = match self.holders.insert(fold(nick), Holder { claim: claim.clone(), by }) {
            Some(Holder { claim: before, .. }) => {
                self.sessions.remove(before.session.id());
                let _ = before.session.close(Self::REPLACED, "replaced by another connection");
                Admission::Again
            }
            None => Admission::New,
        };
        let (people, count) = self.list(Some(nick));
        let missed = self.has_forgotten_since(*after);
        // If the connection has ended meanwhile, its disconnect callback removes it.
        let _ = session.send(to_json(&FromServer::Welcome { room, nick, people, count, missed }));
        for (_, line) in self.history.iter().filter(|&&(id, _)| after.is_none_or(|after| id > after)) {
            let _ = session.send_prepared(line);
        }
        self.sessions.insert(session);
        admission
    }

    /// Returns `true` if messages after this event may be missing in the history.
    pub(crate) fn has_forgotten_since(&self, after: Option<Id>) -> bool {
        after.is_some_and(|after| self.forgotten.is_some_and(|forgotten| after < forgotten))
    }

    /// Takes a name from the session that holds it by an event before `by`, and returns that session.
    pub(crate) fn supersede(&mut self, nick: &str, by: Id) -> Option<Session> {
        let nick = fold(nick);
        if self.holders.get(&nick)?.by >= by {
            return None;
        }
        let session = self.holders.remove(&nick)?.claim.session;
        self.sessions.remove(session.id());
        Some(session)
    }

    /// Releases the name of a session that has ended. Returns `true` if the session still held it.
    pub(crate) fn leave(&mut self, claim: &Claim) -> bool {
        let has = self.is_held_by(claim);
        if has {
            self.holders.remove(&fold(&claim.nick));
        }
        has
    }

    /// Returns `true` if the session of this claim holds the name.
    pub(crate) fn is_held_by(&self, claim: &Claim) -> bool {
        self.holders.get(&fold(&claim.nick)).is_some_and(|holder| holder.claim.session == claim.session)
    }

    /// Delivers an event with an id made from the current time.
    pub(crate) fn append(&mut self, now: u64, event: &Event) {
        let next = Id { sequence: self.last.sequence + 1, ..self.last };
        self.deliver(next.max(Id { millis: now, sequence: 0 }), event);
    }

    /// Sends an event to all members that are connected to this process. Ignores duplicates and events that come out
    /// of order.
    pub(crate) fn deliver(&mut self, id: Id, event: &Event) {
        if id <= self.last {
            return;
        }
        self.last = id;
        match event {
            Event::Said { .. } => {}
            Event::Joined { nick } => drop(self.people.insert(fold(nick), nick.clone())),
            Event::Left { nick } => drop(self.people.remove(&fold(nick))),
        }
        let is_message = matches!(event, Event::Said { .. });
        let count = (!is_message).then_some(self.people.len());
        let line = PreparedMessage::new(to_json(&FromServer::Event { id, count, event }));
        if is_message {
            self.keep(id, line.clone());
        }
        self.sessions.broadcast_prepared(&line);
    }

    /// Keeps a message for clients that join later, and drops the oldest ones beyond the limits.
    fn keep(&mut self, id: Id, line: PreparedMessage) {
        let size = |line: &PreparedMessage| line.len() + Self::HEADER_SIZE;
        self.kept += size(&line);
        self.history.push_back((id, line));
        while self.history.len() > self.most || self.kept > Self::HISTORY_SIZE {
            let Some((id, line)) = self.history.pop_front() else { return };
            self.kept -= size(&line);
            self.forgotten = self.forgotten.max(Some(id));
        }
    }

    /// Returns the names of members within the limits, the client's own name first, and the number of all members.
    fn list<'a>(&'a self, own: Option<&'a str>) -> (Vec<&'a str>, usize) {
        let folded = own.map(fold);
        let others = self.people.iter().filter(|(name, _)| folded.as_ref() != Some(*name));
        let names = own.into_iter().chain(others.clone().map(|(_, nick)| nick.as_str()));
        let mut size = 0;
        let fits = |nick: &&str| {
            // The text form has quotation marks, a comma, and escapes.
            size += nick.len() + nick.matches(['"', '\\']).count() + 3;
            size <= Self::NAMES_SIZE
        };
        (names.take(Self::NAMES).take_while(fits).collect(), others.count() + usize::from(own.is_some()))
    }

    /// Marks the events up to `id` as lost, except those in the history.
    pub(crate) fn forget(&mut self, id: Id) {
        self.forgotten = self.forgotten.max(Some(id));
    }

    /// Sets the members. If the list has changed, sends it to the members that are connected to this process.
    pub(crate) fn set_people(&mut self, people: &[String]) {
        let people = people.iter().map(|nick| (fold(nick), nick.clone())).collect::<BTreeMap<_, _>>();
        if people != self.people {
            self.people = people;
            let (people, count) = self.list(None);
            self.sessions.broadcast(to_json(&FromServer::People { people, count }));
        }
    }

    /// Returns the id of the last event.
    pub(crate) const fn last(&self) -> Id {
        self.last
    }

    /// Returns the granted claims of the members that are connected to this process.
    pub(crate) fn granted(&self) -> impl Iterator<Item = (Claim, Id)> {
        self.holders.values().map(|holder| (holder.claim.clone(), holder.by))
    }
}

pub(crate) fn to_json(message: &FromServer<'_>) -> String {
    serde_json::to_string(message).expect("numbers, strings and lists of strings can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Event {
        Event::Said { nick: "Ann".into(), text: text.into() }
    }

    fn id(millis: u64) -> Id {
        Id { millis, sequence: 0 }
    }

    #[test]
    fn a_room_remembers_the_last_event_that_it_has_forgotten() {
        let mut room = Room::new(2, Some(id(3)));
        (5..7).for_each(|at| room.deliver(id(at), &said("hi")));
        assert_eq!(room.forgotten, Some(id(3)), "the history holds both messages");
        room.deliver(id(7), &said("ho"));
        assert_eq!(room.forgotten, Some(id(5)));
        room.forget(id(4));
        assert_eq!(room.forgotten, Some(id(5)));
        room.forget(id(9));
        room.deliver(id(10), &said("hum"));
        assert_eq!(
            room.forgotten,
            Some(id(9)),
            "a message that leaves the history later does not lower the mark"
        );
    }

    #[test]
    fn a_list_has_at_most_100_names_and_the_number_of_all() {
        let mut room = Room::new(9, None);
        (0..1000).for_each(|number| room.append(1, &Event::Joined { nick: format!("Ann {number}") }));
        let (names, count) = room.list(Some("Zoe"));
        assert_eq!((names.len(), names[0], count), (100, "Zoe", 1001));
        let (names, count) = room.list(Some("ANN 7"));
        assert_eq!((names.len(), names[0], count), (100, "ANN 7", 1000));
        assert!(!names.contains(&"Ann 7"));
        assert_eq!(room.list(None).1, 1000);
    }

    #[test]
    fn the_names_and_messages_for_a_newcomer_have_at_most_64_000_bytes() {
        let mut room = Room::new(50, None);
        let wide = |number: usize| "\u{1F600}".repeat(20) + &format!("{number:04}");
        (0..1000).for_each(|number| room.append(1, &Event::Joined { nick: wide(number) }));
        let nick = "\u{1F600}".repeat(24);
        // Control characters take six bytes each.
        let text = "\u{1}".repeat(1000);
        (1..=50).for_each(|at| room.deliver(id(at), &Event::Said { nick: nick.clone(), text: text.clone() }));
        let (people, count) = room.list(Some(&nick));
        assert_eq!((people.len(), count), (100, 1001));
        let place = "\u{20000}".repeat(32);
        let welcome = FromServer::Welcome { room: &place, nick: &nick, people, count, missed: false };
        let history = room.history.iter().map(|(_, line)| line.len() + Room::HEADER_SIZE).sum::<usize>();
        assert_eq!(history, room.kept);
        assert!(room.history.len() >= 8, "{}", room.history.len());
        assert!(to_json(&welcome).len() + Room::HEADER_SIZE + history <= 64_000);
        // A client that resumes before the oldest kept message has missed the messages that were dropped.
        let oldest = room.history.front().unwrap().0;
        assert!(room.has_forgotten_since(Some(Id { millis: oldest.millis - 2, sequence: 0 })));
        assert!(!room.has_forgotten_since(Some(Id { millis: oldest.millis - 1, sequence: 0 })));
    }

    #[test]
    fn duplicate_and_late_events_are_not_delivered() {
        let mut room = Room::new(9, None);
        [2, 3, 3, 2, 4].into_iter().for_each(|at| room.deliver(id(at), &said("hi")));
        let ids = room.history.iter().map(|&(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids, [2, 3, 4].map(id));
    }

    #[test]
    fn members_join_and_leave_by_case_folded_names() {
        let mut room = Room::new(9, None);
        room.deliver(id(1), &Event::Joined { nick: "Ann".into() });
        room.deliver(id(2), &Event::Left { nick: "ANN".into() });
        assert!(room.is_empty());
        room.set_people(&["Bob".to_owned()]);
        assert!(!room.is_empty());
    }
}
