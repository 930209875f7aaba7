use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    time::Duration,
};

use serde::Deserialize;
use serde_json::json;
use ws_core::ReconnectPolicy;

use crate::protocol::{Event, Id};

/// A terminal client's membership in a room, over any number of connections.
#[derive(Debug)]
pub struct Visit {
    nick: String,
    key: String,
    last: Option<Id>,
    joined: bool,
}

/// The result of a message from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// A line to print.
    Line(String),
    /// Nothing to print.
    Nothing,
    /// The server has refused the client, for this reason.
    Refused(String),
}

/// The server messages that a terminal client uses.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FromServer {
    Welcome {
        room: String,
        people: Vec<String>,
        count: usize,
        missed: bool,
    },
    Event {
        id: Id,
        #[serde(flatten)]
        event: Event,
    },
    Refused {
        text: String,
    },
    #[serde(other)]
    Other,
}

impl Visit {
    /// Creates a visit with this nickname.
    #[must_use]
    pub fn new(nick: impl Into<String>) -> Self {
        let key = format!("{:016x}{:016x}", random(), random());
        Self { nick: nick.into(), key, last: None, joined: false }
    }

    /// Returns the request to send first on each connection.
    #[must_use]
    pub fn join(&mut self) -> String {
        self.joined = false;
        json!({ "type": "join", "nick": self.nick, "key": self.key, "after": self.last }).to_string()
    }

    /// Returns `true` if the server has accepted the client on this connection.
    #[must_use]
    pub const fn has_joined(&self) -> bool {
        self.joined
    }

    /// Returns the request that sends a text to the room.
    #[must_use]
    pub fn say(text: &str) -> String {
        json!({ "type": "say", "text": text }).to_string()
    }

    /// Processes a message from the server and returns the line to print.
    pub fn receive(&mut self, text: &str) -> Output {
        let line = match serde_json::from_str(text) {
            Ok(FromServer::Welcome { room, people, count, missed }) => {
                self.joined = true;
                let more = match count.saturating_sub(people.len()) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let missed = if missed { " (some messages were missed)" } else { "" };
                format!("* you are in #{room}, with {}{more}{missed}", people.join(", "))
            }
            Ok(FromServer::Event { id, event }) => {
                if self.last.is_some_and(|last| id <= last) {
                    return Output::Nothing;
                }
                self.last = Some(id);
                match event {
                    Event::Said { nick, text } => format!("{nick}: {text}"),
                    Event::Joined { nick } => format!("* {nick} joined"),
                    Event::Left { nick } => format!("* {nick} left"),
                }
            }
            Ok(FromServer::Refused { text }) if !self.joined => return Output::Refused(text),
            Ok(FromServer::Refused { text }) => format!("* {text}"),
            Ok(FromServer::Other) | Err(_) => return Output::Nothing,
        };
        // Control characters in other people's messages must not control the terminal.
        Output::Line(line.chars().filter(|character| !character.is_control()).collect())
    }
}

/// Returns the delays of a chat client that connects again.
#[must_use]
pub fn reconnect_policy() -> ReconnectPolicy {
    let mut policy = ReconnectPolicy::default();
    policy.max_delay = Duration::from_secs(15);
    policy.stable_after = Duration::from_secs(1);
    // A node that cannot serve a client closes with 1013, and another node can.
    policy.overload_delay = Duration::from_secs(1)..=Duration::from_secs(5);
    policy
}

/// Returns an unpredictable number: the standard library seeds its hashers from the operating system.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_was_printed_is_not_printed_again() {
        let mut visit = Visit::new("Ann");
        let said = |id| format!(r#"{{"type":"event","id":"{id}","what":"said","nick":"Bob","text":"hi"}}"#);
        assert_eq!(visit.receive(&said("7-0")), Output::Line("Bob: hi".into()));
        assert_eq!(visit.receive(&said("7-0")), Output::Nothing);
        assert_eq!(visit.receive(&said("6-9")), Output::Nothing);
        assert_eq!(visit.receive(&said("7-1")), Output::Line("Bob: hi".into()));
        let join = visit.join();
        assert!(join.contains(r#""after":"7-1""#), "{join}");
    }

    #[test]
    fn names_that_a_welcome_leaves_out_are_counted() {
        let welcome = |count| {
            let people = r#""people":["Ann","Bob"]"#;
            format!(
                r#"{{"type":"welcome","room":"garden","nick":"Ann",{people},"count":{count},"missed":false}}"#
            )
        };
        let line = |text: &str| Output::Line(text.into());
        let mut visit = Visit::new("Ann");
        assert_eq!(visit.receive(&welcome(2)), line("* you are in #garden, with Ann, Bob"));
        assert_eq!(visit.receive(&welcome(900)), line("* you are in #garden, with Ann, Bob and 898 more"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let text = r#"{"type":"event","id":"1-0","what":"said","nick":"Eve","text":"\u001b[2Jgone\u0007"}"#;
        assert_eq!(Visit::new("Ann").receive(text), Output::Line("Eve: [2Jgone".into()));
    }
}
