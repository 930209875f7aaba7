//! What clients and server say to each other: one JSON object in each text message, told apart by `type`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The place of an event in the order that everybody sees: when it happened, in milliseconds of Unix time,
/// and which one of that millisecond it was. Written `1700000000000-0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Milliseconds since 1970.
    pub millis: u64,
    /// Tells apart what happened within one.
    pub sequence: u64,
}

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromClient {
    /// Asks to take part. Must come first, and again if it is refused.
    Join {
        /// By which name.
        nick: String,
        /// A secret of the client's choice. Who joins again by the same one takes the place of the
        /// connection that was there before.
        #[serde(default)]
        key: String,
        /// The last line that the client has seen: it gets those after it.
        #[serde(default)]
        after: Option<Id>,
    },
    /// Says something to everybody in the room.
    Say {
        /// What.
        text: String,
    },
    /// Asks for a [`FromServer::Pong`], to measure how long that takes.
    Ping {
        /// Comes back as it is.
        sent: f64,
    },
}

/// What the server says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromServer<'a> {
    /// The client takes part. What it missed follows, and then what happens.
    Welcome {
        /// Where.
        room: &'a str,
        /// By which name.
        nick: &'a str,
        /// Who is there.
        people: Vec<&'a str>,
        /// Whether there was more since the line that the client asked for than is kept.
        missed: bool,
    },
    /// Something happened in the room.
    Event {
        /// Its place in the order of events.
        id: Id,
        /// What.
        #[serde(flatten)]
        event: &'a Event,
    },
    /// Who is there, where that is not what the events before say.
    People {
        /// All of them.
        people: Vec<&'a str>,
    },
    /// What the client said was refused.
    Refused {
        /// Why, for programs.
        reason: Refusal,
        /// Why, for people.
        text: String,
    },
    /// The answer to [`FromClient::Ping`].
    Pong {
        /// As it was in the question.
        sent: f64,
    },
}

/// What happens in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Event {
    /// Somebody said something.
    Said {
        /// Who.
        nick: String,
        /// What.
        text: String,
    },
    /// Somebody came.
    Joined {
        /// Who.
        nick: String,
    },
    /// Somebody went.
    Left {
        /// Who.
        nick: String,
    },
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It is not one of the things that a client says.
    Malformed,
    /// The name is empty, too long, or has characters that cannot be seen.
    BadNick,
    /// Somebody else has the name.
    NickTaken,
    /// It has to join first.
    NotJoined,
    /// The text is too long.
    TooLong,
    /// It says too much in too short a time.
    TooFast,
    /// There are more rooms than the server keeps.
    TooManyRooms,
    /// What connects several servers does not answer.
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
        parsed.ok_or("an id is two numbers with a hyphen between them")
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
