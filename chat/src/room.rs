use std::collections::{BTreeMap, VecDeque};

use ws_core::{CloseCode, PreparedMessage};
use ws_sessions::{Session, Sessions};

use crate::{
    backplane::Claim,
    nick::fold,
    protocol::{Event, FromServer, Id},
};

/// One room, as this process knows it.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Those who are here by a connection to this process.
    sessions: Sessions,
    holders: BTreeMap<String, Holder>,
    /// Everybody who is here, by a name that ignores case.
    people: BTreeMap<String, String>,
    history: VecDeque<(Id, PreparedMessage)>,
    /// How many lines are kept.
    most: usize,
    /// Up to where the history has been forgotten.
    forgotten: Option<Id>,
    last: Id,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Somebody new is here.
    New,
    /// Somebody who was here is here by another connection.
    Again,
    /// Somebody else has the name.
    Taken,
}

/// Who has a name in this process, and by which event.
#[derive(Debug)]
struct Holder {
    claim: Claim,
    by: Id,
}

impl Room {
    /// The code that a connection is closed with whose place another one takes.
    pub(crate) const REPLACED: CloseCode = CloseCode::new(4000);

    /// A room that keeps so many lines, of which nothing is known up to an event.
    pub(crate) fn new(most: usize, forgotten: Option<Id>) -> Self {
        Self { most, forgotten, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.people.is_empty() && self.holders.is_empty()
    }

    /// As [`admit`](Self::admit), unless somebody else has the name here.
    pub(crate) fn admit_unless_taken(&mut self, claim: &Claim) -> Admission {
        let holder = self.holders.get(&fold(&claim.nick));
        match holder.is_some_and(|holder| claim.key.is_empty() || holder.claim.key != claim.key) {
            true => Admission::Taken,
            false => self.admit(claim, Id::default()),
        }
    }

    /// Lets a session take part from now on; it hears what it has missed and, from then on, everything.
    pub(crate) fn admit(&mut self, claim: &Claim, by: Id) -> Admission {
        let Claim { session, room, nick, after, .. } = claim;
        let admission = match self.holders.insert(fold(nick), Holder { claim: claim.clone(), by }) {
            Some(Holder { claim: before, .. }) => {
                self.sessions.remove(before.session.id());
                let _ = before.session.close(Self::REPLACED, "you are here by another connection");
                Admission::Again
            }
            None => Admission::New,
        };
        let mut people = self.people.values().map(String::as_str).collect::<Vec<_>>();
        if !self.people.contains_key(&fold(nick)) {
            people.push(nick);
        }
        let missed = self.has_forgotten_since(*after);
        // If the connection has ended meanwhile, its end will tell.
        let _ = session.send(to_json(&FromServer::Welcome { room, nick, people, missed }));
        for (_, line) in self.history.iter().filter(|&&(id, _)| after.is_none_or(|after| id > after)) {
            let _ = session.send_prepared(line);
        }
        self.sessions.insert(session);
        admission
    }

    /// Returns `true` if lines after this one may have been forgotten.
    pub(crate) fn has_forgotten_since(&self, after: Option<Id>) -> bool {
        after.is_some_and(|after| self.forgotten.is_some_and(|forgotten| after < forgotten))
    }

    /// Takes a name from whoever has it by an event before this one.
    pub(crate) fn supersede(&mut self, nick: &str, by: Id) -> Option<Session> {
        let nick = fold(nick);
        if self.holders.get(&nick)?.by >= by {
            return None;
        }
        let session = self.holders.remove(&nick)?.claim.session;
        self.sessions.remove(session.id());
        Some(session)
    }

    /// Takes the name from a session that has ended; tells whether it still had it.
    pub(crate) fn leave(&mut self, claim: &Claim) -> bool {
        let has = self.is_held_by(claim);
        if has {
            self.holders.remove(&fold(&claim.nick));
        }
        has
    }

    /// Whether the session that made a claim has the name.
    pub(crate) fn is_held_by(&self, claim: &Claim) -> bool {
        self.holders.get(&fold(&claim.nick)).is_some_and(|holder| holder.claim.session == claim.session)
    }

    /// Tells everybody here what happens now.
    pub(crate) fn append(&mut self, now: u64, event: &Event) {
        let next = Id { sequence: self.last.sequence + 1, ..self.last };
        self.tell(next.max(Id { millis: now, sequence: 0 }), event);
    }

    /// Tells everybody here what happened. What comes again or too late is nothing new.
    pub(crate) fn tell(&mut self, id: Id, event: &Event) {
        if id <= self.last {
            return;
        }
        self.last = id;
        let line = PreparedMessage::new(to_json(&FromServer::Event { id, event }));
        match event {
            Event::Said { .. } => {
                self.history.push_back((id, line.clone()));
                if self.history.len() > self.most {
                    self.forgotten = self.forgotten.max(self.history.pop_front().map(|(id, _)| id));
                }
            }
            Event::Joined { nick } => drop(self.people.insert(fold(nick), nick.clone())),
            Event::Left { nick } => drop(self.people.remove(&fold(nick))),
        }
        self.sessions.broadcast_prepared(&line);
    }

    /// Nothing is known of what happened here up to this event, but what is kept.
    pub(crate) fn forget(&mut self, id: Id) {
        self.forgotten = self.forgotten.max(Some(id));
    }

    /// Says who is here, if it is not who was thought to be.
    pub(crate) fn set_people(&mut self, people: &[String]) {
        let people = people.iter().map(|nick| (fold(nick), nick.clone())).collect::<BTreeMap<_, _>>();
        if people != self.people {
            self.people = people;
            let people = self.people.values().map(String::as_str).collect();
            self.sessions.broadcast(to_json(&FromServer::People { people }));
        }
    }

    /// When something happened here last.
    pub(crate) const fn last(&self) -> Id {
        self.last
    }

    /// The claims of all who are here by a connection to this process.
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
    fn a_room_knows_up_to_where_it_has_forgotten() {
        let mut room = Room::new(2, Some(id(3)));
        (5..7).for_each(|at| room.tell(id(at), &said("hi")));
        assert_eq!(room.forgotten, Some(id(3)), "all that came is kept");
        room.tell(id(7), &said("ho"));
        assert_eq!(room.forgotten, Some(id(5)));
        room.forget(id(4));
        assert_eq!(room.forgotten, Some(id(5)));
        room.forget(id(9));
        room.tell(id(10), &said("hum"));
        assert_eq!(room.forgotten, Some(id(9)), "not what was forgotten before, though it leaves only now");
    }

    #[test]
    fn what_comes_again_or_too_late_is_not_told() {
        let mut room = Room::new(9, None);
        [2, 3, 3, 2, 4].into_iter().for_each(|at| room.tell(id(at), &said("hi")));
        let ids = room.history.iter().map(|&(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids, [2, 3, 4].map(id));
    }

    #[test]
    fn people_come_and_go_by_names_without_case() {
        let mut room = Room::new(9, None);
        room.tell(id(1), &Event::Joined { nick: "Ann".into() });
        room.tell(id(2), &Event::Left { nick: "ANN".into() });
        assert!(room.is_empty());
        room.set_people(&["Bob".to_owned()]);
        assert!(!room.is_empty());
    }
}
