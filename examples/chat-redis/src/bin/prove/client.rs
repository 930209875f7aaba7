//! A chat client that records all messages that it receives, and reconnects when its connection is lost.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use smol::{Task, Timer, channel, future};
use ws_chat::{fold, protocol::Id, reconnect_policy};
use ws_smol::{CloseCode, Error, Message, WebSocket};

pub(crate) struct Client {
    pub(crate) nick: String,
    seen: Arc<Mutex<Seen>>,
    outgoing: channel::Sender<String>,
    _task: Task<()>,
}

/// The messages that a client has received so far.
#[derive(Default)]
pub(crate) struct Seen {
    /// Messages: position, sender and text.
    pub(crate) lines: Vec<(Id, String, String)>,
    pub(crate) people: BTreeSet<String>,
    /// Names from the events about leaving members.
    pub(crate) left: Vec<String>,
    /// Reasons of refusals.
    pub(crate) refused: Vec<String>,
    /// Close codes of the connections that have ended.
    pub(crate) ends: Vec<Option<u16>>,
    /// Number of connections on which the client has joined.
    pub(crate) welcomes: usize,
    /// `true` if a server reported missed messages.
    pub(crate) missed: bool,
    last: Option<Id>,
}

/// The identity of a client and the servers that it connects to.
pub(crate) struct ClientOptions<'a> {
    pub(crate) nick: &'a str,
    pub(crate) key: &'a str,
    pub(crate) url: &'a str,
    /// The URL for reconnecting. Without it the client does not reconnect.
    pub(crate) then: Option<&'a str>,
}

impl Client {
    pub(crate) fn new(options: &ClientOptions<'_>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (outgoing, to_send) = channel::unbounded();
        let (nick, key, url) = (options.nick.to_owned(), options.key.to_owned(), options.url.to_owned());
        let visitor = Visitor { nick, key, seen: seen.clone(), to_send };
        let task = smol::spawn(visitor.run(url, options.then.map(str::to_owned)));
        Self { nick: options.nick.to_owned(), seen, outgoing, _task: task }
    }

    /// Sends a message as soon as the client has joined.
    pub(crate) fn say(&self, text: String) {
        let _ = self.outgoing.try_send(text); // cannot fail: it is unbounded, and the client owns the receiving task
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

struct Visitor {
    nick: String,
    key: String,
    seen: Arc<Mutex<Seen>>,
    to_send: channel::Receiver<String>,
}

/// The next event: a message to send, or a received message.
enum Next {
    Say(Result<String, channel::RecvError>),
    Received(Result<Option<Message<'static>>, Error>),
}

impl Visitor {
    async fn run(self, url: String, then: Option<String>) {
        let again = then.is_some();
        let mut is_first = true;
        let connections = ws_smol::Client::new(&url).reconnect(reconnect_policy()).retry_if(move |_| again);
        let mut connections = connections.before_attempt(move |client, _| {
            let then = then.as_deref().filter(|_| !mem::take(&mut is_first));
            future::ready(then.map_or(client, ws_smol::Client::new))
        });
        while let Some(Ok(mut ws)) = connections.next().await {
            let code = self.talk(&mut ws).await;
            self.seen().ends.push(code);
            if !again {
                return;
            }
        }
    }

    /// Joins and talks until the connection ends. Returns the close code.
    async fn talk(&self, ws: &mut WebSocket) -> Option<u16> {
        let join = json!({ "type": "join", "nick": self.nick, "key": self.key, "after": self.seen().last });
        let mut welcome = false;
        ws.send(join.to_string()).await.ok()?;
        loop {
            let say = async {
                match welcome {
                    true => Next::Say(self.to_send.recv().await),
                    false => future::pending().await,
                }
            };
            match future::or(say, async { Next::Received(ws.receive().await) }).await {
                Next::Say(Ok(text)) => {
                    ws.send(json!({ "type": "say", "text": text }).to_string()).await.ok()?;
                }
                Next::Received(Ok(Some(Message::Text(text)))) => welcome |= self.seen().record(&text),
                Next::Received(Ok(Some(Message::Binary(_)))) => {}
                Next::Say(Err(_)) => {
                    let _ = ws.close(CloseCode::NORMAL_CLOSURE, "").await;
                    return None;
                }
                Next::Received(Ok(None) | Err(_)) => {
                    return ws.close_info().map(|close_info| close_info.code.get());
                }
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

impl Seen {
    /// Records a message from a server. Returns `true` if it is the welcome.
    fn record(&mut self, text: &str) -> bool {
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
                // An event repeats if this node is behind the node of the connection before.
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

/// Waits until `condition` returns `true`, at most for `timeout`. It polls, because the condition depends on other
/// processes that send no notification.
pub(crate) async fn until(
    what: &str,
    timeout: Duration,
    condition: impl Fn() -> bool,
) -> Result<Duration, String> {
    let begin = std::time::Instant::now();
    while !condition() {
        if begin.elapsed() > timeout {
            return Err(format!("not within {timeout:?}: {what}"));
        }
        Timer::after(Duration::from_millis(5)).await;
    }
    Ok(begin.elapsed())
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
