//! The messages between clients and servers. Each text message is one JSON object, and its field `type` selects the
//! kind.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The position of an event in the order that all members see: its Unix time in milliseconds, and its number within
/// that millisecond. The text form is `1700000000000-0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Unix time in milliseconds.
    pub millis: u64,
    /// The number of the event within this millisecond.
    pub sequence: u64,
}

/// A message from a client.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromClient {
    /// Requests to join the room. It must be the first message, and may be sent again after a refusal.
    Join {
        /// The nickname.
        nick: String,
        /// A secret that the client chooses. A later join with the same name and key replaces the earlier connection.
        #[serde(default)]
        key: String,
        /// The last event that the client has seen. The server sends the messages after it.
        #[serde(default)]
        after: Option<Id>,
    },
    /// A text for all members of the room.
    Say {
        /// The text.
        text: String,
    },
    /// A request for a [`FromServer::Pong`], to measure the round-trip time.
    Ping {
        /// A number that the server returns unchanged.
        sent: f64,
    },
}

/// A message from the server.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromServer<'a> {
    /// The client has joined. The messages that it missed follow, and then the new events. The welcome and these
    /// messages together have at most 64,000 bytes: the server keeps fewer messages if they are long.
    Welcome {
        /// The name of the room.
        room: &'a str,
        /// The nickname.
        nick: &'a str,
        /// The members of the room, at most 100. The client itself is always among them.
        people: Vec<&'a str>,
        /// Number of all members. If it is greater than the number of names in `people`, names are left out.
        count: usize,
        /// `true` if the server has not kept all messages since the event that the client has seen last.
        missed: bool,
    },
    /// An event in the room.
    Event {
        /// The position of the event.
        id: Id,
        /// Number of members after a member has joined or left.
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<usize>,
        /// The event.
        #[serde(flatten)]
        event: &'a Event,
    },
    /// The members of the room. It is sent if the list differs from the preceding events.
    People {
        /// The members, at most 100.
        people: Vec<&'a str>,
        /// Number of all members. If it is greater than the number of names in `people`, names are left out.
        count: usize,
    },
    /// The client's request was refused. After 100 refusals the server closes the connection with 1008.
    Refused {
        /// The reason for programs.
        reason: Refusal,
        /// The reason for people.
        text: String,
    },
    /// The answer to [`FromClient::Ping`].
    Pong {
        /// The number from the request.
        sent: f64,
    },
}

/// An event in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Event {
    /// A member sent a message.
    Said {
        /// The member.
        nick: String,
        /// The text of the message.
        text: String,
    },
    /// A member joined.
    Joined {
        /// The member.
        nick: String,
    },
    /// A member left.
    Left {
        /// The member.
        nick: String,
    },
}

/// The reason for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The message is not a valid [`FromClient`], or not valid at this point.
    Malformed,
    /// The name is empty, too long, or contains invisible characters.
    BadNick,
    /// Another member has the name.
    NickTaken,
    /// The client has not joined yet.
    NotJoined,
    /// The text is too long.
    TooLong,
    /// The client has exceeded the rate limit.
    TooFast,
    /// The server has reached its maximum number of rooms. The lobby is never refused for this reason.
    TooManyRooms,
    /// The backplane that connects several servers does not answer.
    Unavailable,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

impl FromStr for Id {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('-').and_then(|(millis, sequence)| {
            Some(Self { millis: millis.parse().ok()?, sequence: sequence.parse().ok()? })
        });
        parsed.ok_or("an event id has the form MILLISECONDS-SEQUENCE")
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
