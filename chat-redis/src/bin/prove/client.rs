//! A client of the chat that writes down what it hears, and comes back when its connection is lost.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use smol::{Task, Timer, channel, future};
use ws_chat::{Visit, fold, protocol::Id};
use ws_smol::{CloseCode, Error, Message, WebSocket};

pub(crate) struct Client {
    pub(crate) nick: String,
    seen: Arc<Mutex<Seen>>,
    says: channel::Sender<String>,
    _task: Task<()>,
}

/// What a client has seen so far.
#[derive(Default)]
pub(crate) struct Seen {
    /// What was said: in which place, by whom, what.
    pub(crate) lines: Vec<(Id, String, String)>,
    pub(crate) people: BTreeSet<String>,
    /// Who left, as the events say.
    pub(crate) left: Vec<String>,
    /// The reasons of refusals.
    pub(crate) refused: Vec<String>,
    /// How its connections ended.
    pub(crate) ends: Vec<Option<u16>>,
    /// By how many connections it took part.
    pub(crate) welcomes: usize,
    /// Whether a server told that something was missed.
    pub(crate) missed: bool,
    last: Option<Id>,
}

/// Who takes part, and where.
pub(crate) struct Who<'a> {
    pub(crate) nick: &'a str,
    pub(crate) key: &'a str,
    pub(crate) url: &'a str,
    /// Where to go when the connection is lost; nowhere without.
    pub(crate) then: Option<&'a str>,
}

impl Client {
    pub(crate) fn new(who: &Who<'_>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (says, says_) = channel::unbounded();
        let (nick, key, url) = (who.nick.to_owned(), who.key.to_owned(), who.url.to_owned());
        let visitor = Visitor { nick, key, seen: seen.clone(), says: says_ };
        let task = smol::spawn(visitor.run(url, who.then.map(str::to_owned)));
        Self { nick: who.nick.to_owned(), seen, says, _task: task }
    }

    /// Says something as soon as it takes part.
    pub(crate) fn say(&self, text: String) {
        let _ = self.says.try_send(text); // it is unbounded, and its task runs as long as the client is here
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

struct Visitor {
    nick: String,
    key: String,
    seen: Arc<Mutex<Seen>>,
    says: channel::Receiver<String>,
}

/// What comes next, from either side.
enum Next {
    Say(Result<String, channel::RecvError>),
    Received(Result<Option<Message<'static>>, Error>),
}

impl Visitor {
    async fn run(self, mut url: String, then: Option<String>) {
        // It has the chat clients' way to wait.
        let mut pace = Visit::new(&self.nick);
        loop {
            if let Ok(mut ws) = ws_smol::connect(&url).await {
                let before = self.seen().welcomes;
                let code = self.talk(&mut ws).await;
                let mut seen = self.seen();
                seen.ends.push(code);
                if seen.welcomes > before {
                    pace = Visit::new(&self.nick);
                }
            }
            match &then {
                Some(then) => url.clone_from(then),
                None => return,
            }
            Timer::after(pace.next_wait()).await;
        }
    }

    /// Takes part until the connection ends; by which code.
    async fn talk(&self, ws: &mut WebSocket) -> Option<u16> {
        let join = json!({ "type": "join", "nick": self.nick, "key": self.key, "after": self.seen().last });
        let mut welcome = false;
        ws.send(join.to_string()).await.ok()?;
        loop {
            let say = async {
                match welcome {
                    true => Next::Say(self.says.recv().await),
                    false => future::pending().await,
                }
            };
            match future::or(say, async { Next::Received(ws.receive().await) }).await {
                Next::Say(Ok(text)) => {
                    ws.send(json!({ "type": "say", "text": text }).to_string()).await.ok()?;
                }
                Next::Received(Ok(Some(Message::Text(text)))) => welcome |= self.seen().hear(&text),
                Next::Received(Ok(Some(Message::Binary(_)))) => {}
                Next::Say(Err(_)) => {
                    let _ = ws.close(CloseCode::NORMAL_CLOSURE, "").await;
                    return None;
                }
                Next::Received(Ok(None) | Err(_)) => {
                    return ws.closure().map(|closure| closure.code.get());
                }
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

impl Seen {
    /// Writes down what a server said; tells whether that was that the client takes part.
    fn hear(&mut self, text: &str) -> bool {
        let message: Value = serde_json::from_str(text).expect("servers speak JSON");
        let string = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        let people = || {
            let people = message["people"].as_array().into_iter().flatten();
            people.filter_map(Value::as_str).map(fold).collect()
        };
        match message["type"].as_str() {
            Some("welcome") => {
                self.people = people();
                self.missed |= message["missed"] == true;
                self.welcomes += 1;
                return true;
            }
            Some("people") => self.people = people(),
            Some("refused") => self.refused.push(string("reason")),
            Some("event") => {
                let id = string("id").parse::<Id>().expect("events have ids");
                // What has been seen comes again where this node is behind the one before.
                if self.last.is_some_and(|last| id <= last) {
                    return false;
                }
                self.last = Some(id);
                let nick = string("nick");
                match message["what"].as_str() {
                    Some("said") => self.lines.push((id, nick, string("text"))),
                    Some("joined") => drop(self.people.insert(fold(&nick))),
                    _ => {
                        self.people.remove(&fold(&nick));
                        self.left.push(nick);
                    }
                }
            }
            _ => {}
        }
        false
    }
}

/// Waits for something that happens in other processes, of which nothing tells but looking; at most so long.
pub(crate) async fn until(
    what: &str,
    patience: Duration,
    is_so: impl Fn() -> bool,
) -> Result<Duration, String> {
    let begin = std::time::Instant::now();
    while !is_so() {
        if begin.elapsed() > patience {
            return Err(format!("not within {patience:?}: {what}"));
        }
        Timer::after(Duration::from_millis(5)).await;
    }
    Ok(begin.elapsed())
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
