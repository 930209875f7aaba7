use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use unicode_normalization::is_nfc;
use ws_core::{
    CloseCode, Config, Message, Response,
    server::{Accept, Request},
};
use ws_sessions::{Callbacks, Session, Sessions};

use crate::{
    backplane::{Backplane, Claim, Local},
    bucket::Bucket,
    nick::{is_invisible, normalized},
    protocol::{Event, FromClient, FromServer, Id, Refusal},
    room::{Admission, Room, to_json},
};

/// All rooms of a server. Clones are handles to the same.
#[derive(Clone)]
pub struct Chat(Arc<Inner>);

struct Inner {
    limits: Limits,
    backplane: Box<dyn Backplane>,
    sessions: Sessions,
    rooms: Mutex<Rooms>,
}

#[derive(Default)]
struct Rooms {
    by_name: HashMap<String, Room>,
    /// Up to where nothing is known of a room that is not here.
    forgotten: Option<Id>,
}

/// What nobody may exceed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The longest name, in characters.
    pub nick: usize,
    /// The longest text, in characters.
    pub text: usize,
    /// How many messages may come at once.
    pub burst: u32,
    /// The time in which one more may come.
    pub period: Duration,
    /// How many rooms there are at most, those included that are empty and keep what was said.
    pub rooms: usize,
    /// How many lines of each room are kept for those who come, or come back.
    pub history: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { nick: 24, text: 1000, burst: 10, period: Duration::from_millis(500), rooms: 1000, history: 50 }
    }
}

/// What a connection is to the chat.
struct Visitor {
    room: String,
    bucket: Mutex<Bucket>,
    part: Mutex<Part>,
}

/// How far somebody has come with taking part.
#[derive(Clone)]
enum Part {
    None,
    /// The backplane has been asked, and has not answered yet.
    Asking,
    Taken(Claim),
}

impl Chat {
    /// A chat within one process. Clients that come back from a process before it are told that they may have missed
    /// something.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let chat = Self::with_backplane(limits, Local);
        chat.forget(Id { millis: now(), sequence: 0 });
        chat
    }

    /// A chat over several processes, as far as they share a backplane.
    #[must_use]
    pub fn with_backplane(limits: Limits, backplane: impl Backplane + 'static) -> Self {
        let (sessions, rooms) = (Sessions::new(), Mutex::default());
        Self(Arc::new(Inner { limits, backplane: Box::new(backplane), sessions, rooms }))
    }

    /// What a server does about the connections to `/` and `/:room`.
    pub fn callbacks(&self) -> Callbacks {
        let (connects, hears, leaves) = (self.clone(), self.clone(), self.clone());
        Callbacks::new()
            .sessions(&self.0.sessions)
            .on_connect(move |session| connects.connect(session))
            .on_message(move |session, message| hears.hear(session, &message))
            .on_disconnect(move |session, _closure| leaves.leave(session))
    }

    /// Accepts requests for rooms whose name is one.
    ///
    /// # Errors
    ///
    /// A response that says what a name is.
    pub fn check(request: &Request) -> Result<Accept, Response> {
        match room_of(request) {
            Some(_) => Ok(Accept::new()),
            None => Err(Response::new(404).text("A room's name has 1 to 32 letters, digits or hyphens.\n")),
        }
    }

    /// What this chat's messages need of a connection.
    pub fn configure(config: &mut Config) {
        config.max_message_size = 16 << 10;
    }

    /// All connections, those included that do not take part yet.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    fn connect(&self, session: &Session) {
        let room = session.request().and_then(room_of).unwrap_or("lobby").to_owned();
        let bucket = Bucket::new(self.0.limits.burst, self.0.limits.period, Instant::now());
        session.set_data(Visitor { room, bucket: Mutex::new(bucket), part: Mutex::new(Part::None) });
    }

    fn hear(&self, session: &Session, message: &Message<'_>) {
        let Some(visitor) = session.data::<Visitor>() else { return };
        if !lock(&visitor.bucket).take(Instant::now()) {
            return refuse(session, Refusal::TooFast, "You are too fast; wait a moment.");
        }
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(FromClient::Join { nick, key, after }) => {
                self.join(session, &visitor, &nick, key, after);
            }
            Some(FromClient::Say { text }) => self.say(session, &visitor, text),
            Some(FromClient::Ping { sent }) => {
                let _ = session.feed(to_json(&FromServer::Pong { sent }));
            }
            None => refuse(session, Refusal::Malformed, "This is nothing that the chat understands."),
        }
    }

    fn join(&self, session: &Session, visitor: &Visitor, nick: &str, key: String, after: Option<Id>) {
        let most = self.0.limits.nick;
        let Some(nick) = normalized(nick, most).filter(|_| key.len() <= 64) else {
            let why = format!("A name has 1 to {most} characters, and all of them can be seen.");
            return refuse(session, Refusal::BadNick, &why);
        };
        // A second claim of one session, answered after the first, could not be told from it.
        match &mut *visitor.part() {
            part @ Part::None => *part = Part::Asking,
            _ => return refuse(session, Refusal::Malformed, "You are here already."),
        }
        let room = visitor.room.clone();
        self.0.backplane.claim(self, Claim { session: session.clone(), room, nick, key, after });
    }

    fn say(&self, session: &Session, visitor: &Visitor, text: String) {
        let most = self.0.limits.text;
        // Whoever has lost the name to another connection, and has not heard of it, says nothing more by it.
        let has_name = |claim: &Claim| {
            self.rooms().by_name.get(&visitor.room).is_some_and(|room| room.is_held_by(claim))
        };
        let Some(Claim { nick, .. }) = visitor.claim().filter(has_name) else {
            return refuse(session, Refusal::NotJoined, "Say who you are first.");
        };
        if text.chars().count() > most {
            let why = format!("A message has at most {most} characters; this one was not sent.");
            return refuse(session, Refusal::TooLong, &why);
        }
        if !text.trim().is_empty() {
            let published = self.0.backplane.publish(self, &visitor.room, Event::Said { nick, text });
            if let Err(reason) = published {
                refuse(session, reason, "This was not sent: the server is cut off. Try again.");
            }
        }
    }

    fn leave(&self, session: &Session) {
        let Some(visitor) = session.data::<Visitor>() else { return };
        let Some(claim) = visitor.claim() else { return };
        if self.rooms().by_name.get_mut(&visitor.room).is_some_and(|room| room.leave(&claim)) {
            self.0.backplane.release(self, &claim);
        }
    }
}

/// For backplanes.
impl Chat {
    /// Lets somebody take part whose claim was granted by this event. Who has the name in this process by
    /// an earlier one loses it.
    pub fn admit(&self, claim: &Claim, by: Id) {
        match self.let_in(claim, |room| room.admit(claim, by)) {
            None => self.0.backplane.release(self, claim),
            Some(_) => self.leave_if_ended(&claim.session),
        }
    }

    /// Lets somebody take part unless somebody else has the name in this process.
    pub(crate) fn admit_here(&self, claim: &Claim) {
        let Some(admission) = self.let_in(claim, |room| room.admit_unless_taken(claim)) else { return };
        match admission {
            Admission::Taken => self.refuse(claim, Refusal::NickTaken),
            Admission::Again => {}
            Admission::New => self.append(&claim.room, &Event::Joined { nick: claim.nick.clone() }),
        }
        self.leave_if_ended(&claim.session);
    }

    /// A session may have ended before it took part.
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

    /// Tells somebody why he cannot take part. Whom [`Refusal::Unavailable`] concerns is disconnected, to
    /// come again, perhaps to another server.
    pub fn refuse(&self, claim: &Claim, reason: Refusal) {
        if let Some(visitor) = claim.session.data::<Visitor>() {
            *visitor.part() = Part::None;
        }
        let why = match reason {
            Refusal::NickTaken => "Somebody else has this name.",
            Refusal::TooManyRooms => "There is no place for another room.",
            Refusal::Unavailable => {
                let _ = claim.session.close(CloseCode::TRY_AGAIN_LATER, "the server is cut off");
                return;
            }
            _ => "This cannot be done.",
        };
        // The answer may come long after the question: it must not wait for others to leave with.
        let refused = FromServer::Refused { reason, text: why.to_owned() };
        let _ = claim.session.send(to_json(&refused));
    }

    /// Takes a name from whoever has it in this process by an event before this one: somebody has it by a
    /// connection to another process. The `same` person is told so; anybody else has to come again, and
    /// will be told that the name is taken.
    pub fn supersede(&self, room: &str, nick: &str, by: Id, same: bool) {
        let loser = self.rooms().by_name.get_mut(room).and_then(|room| room.supersede(nick, by));
        if let Some(session) = loser {
            // Its end will see to the rest; this code and reason can be sent.
            let _ = match same {
                true => session.close(Room::REPLACED, "you are here by another connection"),
                false => session.close(CloseCode::TRY_AGAIN_LATER, "the name was lost"),
            };
        }
    }

    /// Tells those who are in a room what happened there, unless it has been told. Ids only ever grow.
    pub fn deliver(&self, room: &str, id: Id, event: &Event) {
        if self.with_room(room, |room| room.tell(id, event)).is_none() {
            // Whoever comes here later cannot be told of it.
            let rooms = &mut *self.rooms();
            rooms.forgotten = rooms.forgotten.max(Some(id));
        }
    }

    /// As [`deliver`](Self::deliver), as the next event of this moment.
    pub(crate) fn append(&self, room: &str, event: &Event) {
        self.with_room(room, |room| room.append(now(), event));
    }

    /// Says that what happened up to this event cannot be had, in any room: whoever asks for it is told so.
    pub fn forget(&self, id: Id) {
        let rooms = &mut *self.rooms();
        rooms.forgotten = rooms.forgotten.max(Some(id));
        rooms.by_name.values_mut().for_each(|room| room.forget(id));
    }

    /// Says who is where, in each room that is not empty. Where that is not what the events say, those who
    /// are there are told.
    pub fn set_people(&self, people: &HashMap<String, Vec<String>>) {
        for (name, room) in &mut self.rooms().by_name {
            room.set_people(people.get(name).map_or(&[], Vec::as_slice));
        }
        for (name, nicks) in people {
            self.with_room(name, |room| room.set_people(nicks));
        }
    }

    /// The claims of all who take part by a connection to this process, with the events they were granted by.
    #[must_use]
    pub fn granted(&self) -> Vec<(Claim, Id)> {
        self.rooms().by_name.values().flat_map(Room::granted).collect()
    }

    /// Does something with a room, which is made if there is place for it.
    fn with_room<T>(&self, name: &str, act: impl FnOnce(&mut Room) -> T) -> Option<T> {
        let limits = &self.0.limits;
        let rooms = &mut *self.rooms();
        if !rooms.by_name.contains_key(name) {
            if rooms.by_name.len() >= limits.rooms {
                let quiet = rooms.by_name.iter().filter(|(_, room)| room.is_empty());
                let quiet = quiet.min_by_key(|(_, room)| room.last()).map(|(name, _)| name.clone())?;
                let quiet = rooms.by_name.remove(&quiet)?;
                rooms.forgotten = rooms.forgotten.max(Some(quiet.last()));
            }
            rooms.by_name.insert(name.to_owned(), Room::new(limits.history, rooms.forgotten));
        }
        rooms.by_name.get_mut(name).map(act)
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        lock(&self.0.rooms)
    }
}

impl Visitor {
    fn part(&self) -> MutexGuard<'_, Part> {
        lock(&self.part)
    }

    fn claim(&self) -> Option<Claim> {
        match &*self.part() {
            Part::Taken(claim) => Some(claim.clone()),
            Part::None | Part::Asking => None,
        }
    }
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat").field("sessions", &self.0.sessions).finish_non_exhaustive()
    }
}

/// The room that a request is for; `None` if its name is none.
fn room_of(request: &Request) -> Option<&str> {
    let name = request.parameter("room").unwrap_or("lobby");
    let length = name.chars().count();
    let is_letter = |letter: char| (letter.is_alphanumeric() && !is_invisible(letter)) || letter == '-';
    // Two rooms must not look the same.
    let is_name = (1..=32).contains(&length) && name.chars().all(is_letter) && is_nfc(name);
    is_name.then_some(name)
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(now).unwrap_or(u64::MAX)
}

fn refuse(session: &Session, reason: Refusal, text: &str) {
    let _ = session.feed(to_json(&FromServer::Refused { reason, text: text.to_owned() }));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_back_after_a_restart_is_told_that_lines_were_missed() {
        let before = Id { millis: now() - 1000, sequence: 0 };
        let chat = Chat::new(Limits::default());
        let has_missed =
            |after| chat.with_room("lobby", |room| room.has_forgotten_since(after)).expect("a room");
        assert!(has_missed(Some(before)));
        assert!(!has_missed(None), "somebody new has missed nothing");
        chat.append("lobby", &Event::Joined { nick: "Ann".to_owned() });
        let last = chat.with_room("lobby", |room| room.last());
        assert!(!has_missed(last));
        // A backplane knows what it has kept.
        let shared = Chat::with_backplane(Limits::default(), Local);
        assert_eq!(shared.with_room("lobby", |room| room.has_forgotten_since(Some(before))), Some(false));
    }
}
