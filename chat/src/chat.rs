use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ws_core::{
    Config, Message, Response,
    server::{Accept, Request},
};
use ws_sessions::{Callbacks, Session, Sessions};

use crate::{
    bucket::Bucket,
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
    rooms: Mutex<HashMap<String, Room>>,
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
}

impl Default for Limits {
    fn default() -> Self {
        Self { nick: 24, text: 1000, burst: 10, period: Duration::from_millis(500), rooms: 1000 }
    }
}

/// What gives each event its place in the order that everybody sees, and each name to one person.
pub trait Backplane: Send + Sync {
    /// Asks whether a name can be had. The answer is [`Chat::admit`] or [`Chat::refuse`], now or later.
    fn claim(&self, chat: &Chat, claim: Claim);

    /// Says that something happened in a room. [`Chat::deliver`] brings it to those who are there.
    fn publish(&self, chat: &Chat, room: &str, event: Event);

    /// Gives back a name that was had by this key.
    fn release(&self, room: &str, nick: &str, key: &str) {
        let _ = (room, nick, key);
    }
}

/// Somebody asks to take part in a room.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who.
    pub session: Session,
    /// Where.
    pub room: String,
    /// By which name.
    pub nick: String,
    /// By which secret.
    pub key: String,
    /// The last line seen.
    pub after: Option<Id>,
}

/// What a connection is to the chat.
struct Visitor {
    room: String,
    bucket: Mutex<Bucket>,
    /// By which name and key it takes part, once it does.
    person: Mutex<Option<Person>>,
}

#[derive(Clone)]
struct Person {
    nick: String,
    key: String,
}

impl Chat {
    /// A chat within one process.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_backplane(limits, Local)
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
        session.set_data(Visitor { room, bucket: Mutex::new(bucket), person: Mutex::default() });
    }

    fn hear(&self, session: &Session, message: &Message<'_>) {
        let Some(visitor) = session.data::<Visitor>() else { return };
        if !lock(&visitor.bucket).take(Instant::now()) {
            return refuse(session, Refusal::TooFast, "You are too fast; wait a moment.");
        }
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(FromClient::Join { nick, key, after }) => {
                self.join(session, &visitor, nick.trim(), key, after);
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
        if visitor.person().is_some() {
            return refuse(session, Refusal::Malformed, "You are here already.");
        }
        let length = nick.chars().count();
        if length == 0 || length > most || nick.chars().any(char::is_control) || key.len() > 64 {
            return refuse(session, Refusal::BadNick, &format!("A name has 1 to {most} characters."));
        }
        let (room, nick) = (visitor.room.clone(), nick.to_owned());
        self.0.backplane.claim(self, Claim { session: session.clone(), room, nick, key, after });
    }

    fn say(&self, session: &Session, visitor: &Visitor, text: String) {
        let most = self.0.limits.text;
        let Some(Person { nick, .. }) = visitor.person().clone() else {
            return refuse(session, Refusal::NotJoined, "Say who you are first.");
        };
        if text.chars().count() > most {
            let why = format!("A message has at most {most} characters; this one was not sent.");
            return refuse(session, Refusal::TooLong, &why);
        }
        if !text.trim().is_empty() {
            self.0.backplane.publish(self, &visitor.room, Event::Said { nick, text });
        }
    }

    fn leave(&self, session: &Session) {
        let Some(visitor) = session.data::<Visitor>() else { return };
        let Some(Person { nick, key }) = visitor.person().clone() else { return };
        let left = self.rooms().get_mut(&visitor.room).is_some_and(|room| room.leave(session, &nick));
        if left {
            self.0.backplane.release(&visitor.room, &nick, &key);
            self.0.backplane.publish(self, &visitor.room, Event::Left { nick });
        }
    }
}

/// For backplanes.
impl Chat {
    /// Lets somebody take part, if nobody else has the name in this process.
    pub fn admit(&self, claim: &Claim) {
        let Claim { session, room, nick, key, .. } = claim;
        let Some(visitor) = session.data::<Visitor>() else { return };
        let admission = {
            let mut person = visitor.person();
            if person.is_some() {
                return self.0.backplane.release(room, nick, key);
            }
            let admission = self.with_room(room, |room| room.admit(claim));
            if matches!(admission, Some(Admission::New | Admission::Again)) {
                *person = Some(Person { nick: nick.clone(), key: key.clone() });
            }
            admission
        };
        match admission {
            None => self.refuse(claim, Refusal::TooManyRooms),
            Some(Admission::Taken) => self.refuse(claim, Refusal::NickTaken),
            Some(Admission::Again) => {}
            Some(Admission::New) => {
                self.0.backplane.publish(self, room, Event::Joined { nick: nick.clone() });
            }
        }
        if !session.is_open() {
            // It may have ended before it took part.
            self.leave(session);
        }
    }

    /// Tells somebody why he cannot take part.
    pub fn refuse(&self, claim: &Claim, reason: Refusal) {
        let why = match reason {
            Refusal::NickTaken => "Somebody else has this name.",
            Refusal::TooManyRooms => "There is no place for another room.",
            _ => "This cannot be done at the moment; try again.",
        };
        refuse(&claim.session, reason, why);
    }

    /// Tells those who are in a room what happened there, unless it has been told. Ids only ever grow.
    pub fn deliver(&self, room: &str, id: Id, event: &Event) {
        self.with_room(room, |room| room.tell(id, event));
    }

    /// As [`deliver`](Self::deliver), as the next event of this moment.
    pub fn append(&self, room: &str, event: &Event) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.with_room(room, |room| room.append(u64::try_from(now).unwrap_or(u64::MAX), event));
    }

    /// Says who is in a room, if it is not who was thought to be.
    pub fn set_people(&self, room: &str, people: &[String]) {
        self.with_room(room, |room| room.set_people(people));
    }

    /// The rooms that this process knows, and who is there by a connection to it: name and key.
    #[must_use]
    pub fn rooms_and_holders(&self) -> Vec<(String, Vec<(String, String)>)> {
        let owned = |(nick, key): (&str, &str)| (nick.to_owned(), key.to_owned());
        let rooms = self.rooms();
        rooms.iter().map(|(name, room)| (name.clone(), room.holders().map(owned).collect())).collect()
    }

    /// Does something with a room, which is made if there is place for it.
    fn with_room<T>(&self, name: &str, act: impl FnOnce(&mut Room) -> T) -> Option<T> {
        let rooms = &mut *self.rooms();
        if !rooms.contains_key(name) {
            if rooms.len() >= self.0.limits.rooms {
                let quiet =
                    rooms.iter().filter(|(_, room)| room.is_empty()).min_by_key(|(_, room)| room.last());
                let quiet = quiet.map(|(name, _)| name.clone())?;
                rooms.remove(&quiet);
            }
            rooms.insert(name.to_owned(), Room::default());
        }
        rooms.get_mut(name).map(act)
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        lock(&self.0.rooms)
    }
}

impl Visitor {
    fn person(&self) -> MutexGuard<'_, Option<Person>> {
        lock(&self.person)
    }
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat").field("sessions", &self.0.sessions).finish_non_exhaustive()
    }
}

/// The backplane of a chat within one process.
#[derive(Clone, Copy, Debug)]
pub struct Local;

impl Backplane for Local {
    fn claim(&self, chat: &Chat, claim: Claim) {
        chat.admit(&claim);
    }

    fn publish(&self, chat: &Chat, room: &str, event: Event) {
        chat.append(room, &event);
    }
}

/// The room that a request is for; `None` if its name is none.
fn room_of(request: &Request) -> Option<&str> {
    let name = request.parameter("room").unwrap_or("lobby");
    let length = name.chars().count();
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '-';
    ((1..=32).contains(&length) && name.chars().all(is_name)).then_some(name)
}

fn refuse(session: &Session, reason: Refusal, text: &str) {
    let _ = session.feed(to_json(&FromServer::Refused { reason, text: text.to_owned() }));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
