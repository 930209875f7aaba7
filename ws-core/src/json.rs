//! JSON messages, by `serde_json`.

use alloc::{borrow::Cow, string::ToString};
use core::{error, fmt};

use serde_core::{Deserialize, Serialize};
use serde_json::error::Category;

use crate::{Message, Side};

/// JSON.
impl<'a> Message<'a> {
    /// Creates a text message that contains `value` as JSON.
    ///
    /// ```
    /// use ws_core::Message;
    ///
    /// let message = Message::json(&("move", [3, 4]))?;
    /// assert_eq!(message, r#"["move",[3,4]]"#);
    /// let (name, [x, y]): (&str, [u32; 2]) = message.parse_json()?;
    /// assert_eq!((name, x, y), ("move", 3, 4));
    /// # Ok::<(), ws_core::JsonError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`JsonError::Write`] if the value has no form in JSON, such as a map with keys that are not strings, or if its
    /// implementation of `Serialize` fails.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, JsonError> {
        serde_json::to_string(value).map(|text| Self::Text(Cow::Owned(text))).map_err(JsonError::Write)
    }

    /// Parses the JSON that a text message contains. The result may borrow strings from the message.
    ///
    /// The size of the input is limited by the size of the message, see
    /// [`max_message_size`](crate::Config::max_message_size). Values may be nested at most 128 levels deep.
    ///
    /// # Errors
    ///
    /// - Returns [`JsonError::Binary`] if the message is binary.
    /// - Returns [`JsonError::Read`] if the text is not JSON, or does not fit the type.
    pub fn parse_json<'m, T: Deserialize<'m>>(&'m self) -> Result<T, JsonError> {
        match self {
            Self::Text(text) => serde_json::from_str(text).map_err(JsonError::Read),
            Self::Binary(bytes) => Err(JsonError::Binary { len: bytes.len() }),
        }
    }
}

/// An error of a JSON message. The connection is unchanged.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// A value of this application cannot be written as JSON. Nothing was sent.
    Write(serde_json::Error),
    /// The peer sent a text that is not JSON, or JSON that does not fit the expected type.
    Read(serde_json::Error),
    /// The peer sent a binary message where JSON text was expected.
    Binary {
        /// Length of the message in bytes.
        len: usize,
    },
}

impl JsonError {
    /// Returns the side that caused the error: this application, or the peer.
    #[must_use]
    pub const fn side(&self) -> Side {
        match self {
            Self::Write(_) => Side::Local,
            Self::Read(_) | Self::Binary { .. } => Side::Remote,
        }
    }

    /// Returns the line and the column in the peer's text at which the error was found. The first line is 1.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        match self {
            Self::Read(error) if error.line() > 0 => Some((error.line(), error.column())),
            _ => None,
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(error) => {
                write!(f, "this application's value cannot be written as JSON: {}", Reason(error))
            }
            Self::Read(error) => {
                f.write_str(match error.classify() {
                    Category::Data => "the peer sent JSON that does not fit the expected type",
                    Category::Eof => "the peer sent JSON that is incomplete",
                    Category::Syntax | Category::Io => "the peer sent text that is not JSON",
                })?;
                if let Some((line, column)) = self.position() {
                    write!(f, " (line {line}, column {column})")?;
                }
                write!(f, ": {}", Reason(error))
            }
            Self::Binary { len } => {
                write!(f, "the peer sent a binary message of {len} bytes where JSON text was expected")
            }
        }
    }
}

/// The text of an error of `serde_json` without the position. It may quote the peer's message, so it is cut.
struct Reason<'e>(&'e serde_json::Error);

impl Reason<'_> {
    /// Maximum length in bytes.
    const MAX_LEN: usize = 160;
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let position = alloc::format!(" at line {} column {}", self.0.line(), self.0.column());
        let text = text.strip_suffix(&position).unwrap_or(&text);
        let end = (0..=Self::MAX_LEN.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
        let shown = end.and_then(|end| text.get(..end)).unwrap_or(text);
        // A text of the peer may contain control characters, which would break a line of a log.
        for character in shown.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        if shown.len() < text.len() { f.write_str("…") } else { Ok(()) }
    }
}

impl error::Error for JsonError {}
