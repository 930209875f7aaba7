use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use unicode_normalization::is_nfc;
use ws_core::{
    CloseCode, Config, Message, Response,
    server::{Accept, Request},
};
use ws_sessions::{Callbacks, Session, Sessions};

use crate::{
    backplane::{Backplane, Claim, Local},
    limits::Limits,
    nick::{is_invisible, normalized},
    protocol::{Event, FromClient, FromServer, Id, Refusal},
    room::{Admission, Room, to_json},
    rooms::{LOBBY, Rooms},
    visitor::{Part, Visitor, lock},
};

/// All rooms of a server. Clones refer to the same rooms.
#[derive(Clone)]
pub struct Chat(Arc<Inner>);

struct Inner {
    limits: Limits,
    backplane: Box<dyn Backplane>,
    sessions: Sessions,
    /// The connections to other rooms than the lobby.
    outside_lobby: Mutex<Sessions>,
    rooms: Mutex<Rooms>,
}

/// The client that has taken a name by its connection to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The client that had the name before.
    SameClient,
    /// Another client.
    OtherClient,
}

impl Chat {
    /// Creates a chat within one process. A client that reconnects after a restart of the server is informed that it
    /// may have missed messages.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let chat = Self::with_backplane(limits, Local);
        chat.forget(Id { millis: now(), sequence: 0 });
        chat
    }

    /// Creates a chat that runs on all processes that share a backplane.
    #[must_use]
    pub fn with_backplane(limits: Limits, backplane: impl Backplane + 'static) -> Self {
        Self(Arc::new(Inner {
            limits,
            backplane: Box::new(backplane),
            sessions: Sessions::new(),
            outside_lobby: Mutex::default(),
            rooms: Mutex::default(),
        }))
    }

    /// Returns the callbacks for connections to `/` and `/:room`.
    pub fn callbacks(&self) -> Callbacks {
        let (connects, receives, leaves) = (self.clone(), self.clone(), self.clone());
        Callbacks::new()
            .sessions(&self.0.sessions)
            .on_connect(move |session| connects.connect(session))
            .on_message(move |session, message| receives.receive(session, &message))
            .on_disconnect(move |session, _closure| leaves.leave(session))
    }

    /// Returns the check for requests to `/` and `/:room`. It accepts a request if the room's name is valid and a place
    /// is left for it. Otherwise the response explains the refusal: 404 for an invalid name, 503 if
    /// [`Limits::outside_lobby`] is reached.
    pub fn check(&self) -> impl Fn(&Request) -> Result<Accept, Response> + Send + Sync + use<> {
        let chat = self.clone();
        move |request| match room_of(request) {
            None => Err(Response::new(404).text("A room's name has 1 to 32 letters, digits or hyphens.\n")),
            Some(LOBBY) => Ok(Accept::new()),
            Some(_) if lock(&chat.0.outside_lobby).len() < chat.0.limits.outside_lobby => Ok(Accept::new()),
            Some(_) => Err(Response::new(503)
                .header("Retry-After", "30")
                .text("All places outside the lobby are taken. Join the lobby, or try again later.\n")),
        }
    }

    /// Sets the limits of a connection that the chat's messages need.
    pub fn configure(config: &mut Config) {
        config.max_message_size = 16 << 10;
    }

    /// Returns all sessions, including those that have not joined a room yet.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    fn connect(&self, session: &Session) {
        let room = session.request().and_then(room_of).unwrap_or(LOBBY).to_owned();
        // The check has refused most of these connections. Requests that were checked at the same time may be too many.
        if room != LOBBY {
            let outside = lock(&self.0.outside_lobby);
            if outside.len() >= self.0.limits.outside_lobby {
                drop(outside);
                // It cannot fail: this code and reason can be sent.
                let _ = session.close(CloseCode::TRY_AGAIN_LATER, "all places outside the lobby are taken");
                return;
            }
            outside.insert(session);
        }
        session.set_data(Visitor::new(room, &self.0.limits));
    }

    fn receive(&self, session: &Session, message: &Message<'_>) {
        let Some(visitor) = session.data::<Visitor>().filter(|visitor| !visitor.is_dismissed()) else {
            return;
        };
        if !visitor.passes() {
            return visitor.refuse(session, Refusal::TooFast, "You are sending too fast. Wait a moment.");
        }
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(FromClient::Join { nick, key, after }) => {
                self.join(session, &visitor, &nick, key, after);
            }
            Some(FromClient::Say { text }) => self.say(session, &visitor, text),
            Some(FromClient::Ping { sent }) => {
                let _ = session.feed(to_json(&FromServer::Pong { sent }));
            }
            None => {
                visitor.refuse(session, Refusal::Malformed, "This is not a valid request to the chat.");
            }
        }
    }

    fn join(&self, session: &Session, visitor: &Visitor, nick: &str, key: String, after: Option<Id>) {
        let most = self.0.limits.nick;
        let Some(nick) = normalized(nick, most).filter(|_| key.len() <= 64) else {
            let why = format!("A name has 1 to {most} visible characters.");
            return visitor.refuse(session, Refusal::BadNick, &why);
        };
        // One claim at a time: the answers to two claims of one session could not be told apart.
        match &mut *visitor.part() {
            part @ Part::None => *part = Part::Asking,
            _ => return visitor.refuse(session, Refusal::Malformed, "You have already joined."),
        }
        let room = visitor.room.clone();
        self.0.backplane.claim(self, Claim { session: session.clone(), room, nick, key, after });
    }

    fn say(&self, session: &Session, visitor: &Visitor, text: String) {
        let most = self.0.limits.text;
        // Another connection may have taken over the name while the close of this one is still on its way.
        let has_name =
            |claim: &Claim| self.rooms().get(&visitor.room).is_some_and(|room| room.is_held_by(claim));
        let Some(Claim { nick, .. }) = visitor.claim().filter(has_name) else {
            return visitor.refuse(session, Refusal::NotJoined, "Join with a name first.");
        };
        if text.chars().count() > most {
            let why = format!("A message has at most {most} characters. This one was not sent.");
            return visitor.refuse(session, Refusal::TooLong, &why);
        }
        if !text.trim().is_empty() {
            let published = self.0.backplane.publish(self, &visitor.room, Event::Said { nick, text });
            if let Err(reason) = published {
                visitor.refuse(
                    session,
                    reason,
                    "This was not sent: the chat backend is unavailable. Try again.",
                );
            }
        }
    }

    fn leave(&self, session: &Session) {
        let Some(visitor) = session.data::<Visitor>() else { return };
        let Some(claim) = visitor.claim() else { return };
        if self.rooms().get(&visitor.room).is_some_and(|room| room.leave(&claim)) {
            self.0.backplane.release(self, &claim);
        }
    }
}

/// Methods for backplanes.
impl Chat {
    /// Adds the session to its room, because event `by` has granted its claim. A session of this process that has the
    /// name by an earlier event loses it.
    pub fn admit(&self, claim: &Claim, by: Id) {
        match self.let_in(claim, |room| room.admit(claim, by)) {
            None => self.0.backplane.release(self, claim),
            Some(_) => self.leave_if_ended(&claim.session),
        }
    }

    /// Adds the session to its room unless another client of this process has the name.
    pub(crate) fn admit_here(&self, claim: &Claim) {
        // In one step, so that the next client to join finds this one in its welcome.
        let admission = self.let_in(claim, |room| {
            let admission = room.admit_unless_taken(claim);
            if matches!(admission, Admission::New) {
                room.append(now(), &Event::Joined { nick: claim.nick.clone() });
            }
            admission
        });
        match admission {
            None => return,
            Some(Admission::Taken) => self.refuse(claim, Refusal::NickTaken),
            Some(Admission::New | Admission::Again) => {}
        }
        self.leave_if_ended(&claim.session);
    }

    /// Removes a session that ended before it was added to its room.
    fn leave_if_ended(&self, session: &Session) {
        if !session.is_open() {
            self.leave(session);
        }
    }

    fn let_in(&self, claim: &Claim, admit: impl FnOnce(&mut Room) -> Admission) -> Option<Admission> {
        let visitor = claim.session.data::<Visitor>()?;
        let mut part = visitor.part();
        let admission = self.with_room(&claim.room, admit);
        match admission {
            None => {
                drop(part);
                self.refuse(claim, Refusal::TooManyRooms);
            }
            Some(Admission::Taken) => {}
            Some(Admission::New | Admission::Again) => *part = Part::Taken(claim.clone()),
        }
        admission
    }

    /// Refuses a claim and sends the reason to the client. [`Refusal::Unavailable`] disconnects the client instead,
    /// so that it reconnects, perhaps to another server.
    pub fn refuse(&self, claim: &Claim, reason: Refusal) {
        if let Some(visitor) = claim.session.data::<Visitor>() {
            *visitor.part() = Part::None;
        }
        let why = match reason {
            Refusal::NickTaken => "Somebody else has this name.",
            Refusal::TooManyRooms => "The server has no place for another room. Join the lobby.",
            Refusal::Unavailable => {
                let _ = claim.session.close(CloseCode::TRY_AGAIN_LATER, "the chat backend is unavailable");
                return;
            }
            _ => "The request was refused.",
        };
        // The answer may come long after the request. So it is sent at once instead of with the next messages.
        let refused = FromServer::Refused { reason, text: why.to_owned() };
        let _ = claim.session.send(to_json(&refused));
        if let Some(visitor) = claim.session.data::<Visitor>() {
            visitor.note_refusal(&claim.session, reason);
        }
    }

    /// Takes a name from the session of this process that has it by an event before `by`, because a connection to
    /// another process has it now. The close code is 4000 if that connection belongs to the same client. Otherwise
    /// the client has to reconnect and is refused because the name is taken.
    pub fn supersede(&self, room: &str, nick: &str, by: Id, holder: Holder) {
        let loser = self.rooms().get(room).and_then(|room| room.supersede(nick, by));
        if let Some(session) = loser {
            // `leave` does the rest when the session ends. The code and the reason are valid, so `close` accepts
            // them.
            let _ = match holder {
                Holder::SameClient => session.close(Room::REPLACED, "replaced by another connection"),
                Holder::OtherClient => session.close(CloseCode::TRY_AGAIN_LATER, "the name was lost"),
            };
        }
    }

    /// Sends an event to all members of a room unless it was delivered before. The ids of successive events must
    /// increase.
    pub fn deliver(&self, room: &str, id: Id, event: &Event) {
        if self.with_room(room, |room| room.deliver(id, event)).is_none() {
            // There is no room to keep the event in, so members that join later miss it.
            self.rooms().forget_removed(id);
        }
    }

    /// Delivers an event like [`deliver`](Self::deliver), with an id made from the current time.
    pub(crate) fn append(&self, room: &str, event: &Event) {
        self.with_room(room, |room| room.append(now(), event));
    }

    /// Marks the events up to `id` as lost in all rooms. A client that resumes before `id` is informed that it missed
    /// messages.
    pub fn forget(&self, id: Id) {
        self.rooms().forget(id);
    }

    /// Sets the members of all rooms that are not empty. If the list of a room differs from its events, its members
    /// receive the new list.
    pub fn set_people(&self, people: &HashMap<String, Vec<String>>) {
        for (name, room) in self.rooms().iter_mut() {
            room.set_people(people.get(name).map_or(&[], Vec::as_slice));
        }
        for (name, nicks) in people {
            self.with_room(name, |room| room.set_people(nicks));
        }
    }

    /// Returns the granted claims of all sessions of this process, each with the event that granted it.
    #[must_use]
    pub fn granted(&self) -> Vec<(Claim, Id)> {
        self.rooms().iter_mut().flat_map(|(_, room)| room.granted()).collect()
    }

    /// Calls `act` with a room, which is created if the limit permits. Returns `None` at the limit.
    fn with_room<T>(&self, name: &str, act: impl FnOnce(&mut Room) -> T) -> Option<T> {
        self.rooms().get_or_create(name, &self.0.limits).map(act)
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        lock(&self.0.rooms)
    }
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat").field("sessions", &self.0.sessions).finish_non_exhaustive()
    }
}

/// Returns the name of the requested room, or `None` if it is invalid.
fn room_of(request: &Request) -> Option<&str> {
    let name = request.parameter("room").unwrap_or(LOBBY);
    let length = name.chars().count();
    let is_letter = |letter: char| (letter.is_alphanumeric() && !is_invisible(letter)) || letter == '-';
    // Two different names must not look the same.
    let is_name = (1..=32).contains(&length) && name.chars().all(is_letter) && is_nfc(name);
    is_name.then_some(name)
}

/// Returns the current Unix time in milliseconds.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(now).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_reconnects_after_a_restart_may_have_missed_messages() {
        let before = Id { millis: now() - 1000, sequence: 0 };
        let chat = Chat::new(Limits::default());
        let has_missed =
            |after| chat.with_room("lobby", |room| room.has_forgotten_since(after)).expect("a room");
        assert!(has_missed(Some(before)));
        assert!(!has_missed(None), "a new client has missed nothing");
        chat.append("lobby", &Event::Joined { nick: "Ann".to_owned() });
        let last = chat.with_room("lobby", |room| room.last());
        assert!(!has_missed(last));
        // With another backplane, the backplane reports the events that it has lost.
        let shared = Chat::with_backplane(Limits::default(), Local);
        assert_eq!(shared.with_room("lobby", |room| room.has_forgotten_since(Some(before))), Some(false));
    }
}
