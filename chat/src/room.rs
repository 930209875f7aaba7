use std::collections::{BTreeMap, VecDeque};

use ws_core::{CloseCode, PreparedMessage};
use ws_sessions::{Session, Sessions};

use crate::{
    chat::Claim,
    protocol::{Event, FromServer, Id},
};

/// The code that a connection is closed with whose place another one takes.
const REPLACED: CloseCode = CloseCode::new(4000);

/// One room, as this process knows it.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Those who are here by a connection to this process.
    sessions: Sessions,
    holders: BTreeMap<String, Holder>,
    /// Everybody who is here, by a name that ignores case.
    people: BTreeMap<String, String>,
    history: VecDeque<(Id, PreparedMessage)>,
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

/// Who has a name in this process.
#[derive(Debug)]
struct Holder {
    session: Session,
    key: String,
}

impl Room {
    /// How many lines are kept.
    pub(crate) const HISTORY: usize = 50;

    pub(crate) fn is_empty(&self) -> bool {
        self.people.is_empty() && self.holders.is_empty()
    }

    /// Lets a session take part from now on; it hears what it has missed and, from then on, everything.
    pub(crate) fn admit(&mut self, claim: &Claim) -> Admission {
        let Claim { session, room, nick, key, after } = claim;
        let holder = Holder { session: session.clone(), key: key.clone() };
        let admission = match self.holders.get(&fold(nick)) {
            Some(before) if key.is_empty() || before.key != *key => return Admission::Taken,
            Some(before) => {
                self.sessions.remove(before.session.id());
                let _ = before.session.close(REPLACED, "you are here by another connection");
                Admission::Again
            }
            None => Admission::New,
        };
        self.holders.insert(fold(nick), holder);
        let mut people = self.people.values().map(String::as_str).collect::<Vec<_>>();
        if !self.people.contains_key(&fold(nick)) {
            people.push(nick);
        }
        let missed = after.is_some_and(|after| self.forgotten.is_some_and(|forgotten| after < forgotten));
        // If the connection has ended meanwhile, its end will tell.
        let _ = session.send(to_json(&FromServer::Welcome { room, nick, people, missed }));
        for (_, line) in self.history.iter().filter(|&&(id, _)| after.is_none_or(|after| id > after)) {
            let _ = session.send_prepared(line);
        }
        self.sessions.insert(session);
        admission
    }

    /// Takes the name from a session that has ended; tells whether it still had it.
    pub(crate) fn leave(&mut self, session: &Session, nick: &str) -> bool {
        let nick = fold(nick);
        let has = self.holders.get(&nick).is_some_and(|holder| holder.session == *session);
        if has {
            self.holders.remove(&nick);
        }
        has
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
                if self.history.len() > Self::HISTORY {
                    self.forgotten = self.history.pop_front().map(|(id, _)| id);
                }
            }
            Event::Joined { nick } => drop(self.people.insert(fold(nick), nick.clone())),
            Event::Left { nick } => drop(self.people.remove(&fold(nick))),
        }
        self.sessions.broadcast_prepared(&line);
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

    /// Everybody who is here by a connection to this process: name and key.
    pub(crate) fn holders(&self) -> impl Iterator<Item = (&str, &str)> {
        self.holders.iter().map(|(nick, holder)| (nick.as_str(), holder.key.as_str()))
    }
}

/// Names that differ in nothing but case are the same.
fn fold(nick: &str) -> String {
    nick.to_lowercase()
}

pub(crate) fn to_json(message: &FromServer<'_>) -> String {
    serde_json::to_string(message).expect("numbers, strings and lists of strings can be written")
}
