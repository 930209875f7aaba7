use alloc::{
    borrow::{Cow, ToOwned},
    string::String,
    vec::Vec,
};
use core::fmt;

use bytes::Bytes;

use crate::{CloseFrame, excerpt::Excerpt};

/// A whole message, received or to be sent: text or binary (RFC 6455 section 5.6).
///
/// A received message borrows from the read buffer if it lies completely there, and owns its payload if it had to be
/// assembled. A message to send can be created from `"text"`, `String`, `b"bytes"`, `Vec<u8>` or [`Bytes`].
///
/// Conversions do not copy if the source owns its payload: from and into `String`, `Vec<u8>` and [`Bytes`]. A payload that
/// is borrowed, or that other [`Bytes`] share, is copied.
///
/// ```
/// use ws_core::Message;
///
/// let message = Message::from("Grüße");
/// assert!(message.is_text());
/// assert_eq!(message.as_bytes().len(), 7);
/// assert_eq!(message.to_string(), "Grüße");
/// assert_eq!(Message::from(vec![1, 2, 3]).to_string(), "3 bytes");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message<'a> {
    /// Unicode text.
    Text(Cow<'a, str>),
    /// Arbitrary bytes.
    Binary(Cow<'a, [u8]>),
}

impl<'a> Message<'a> {
    /// Returns `true` if this is text.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Returns `true` if this is binary.
    #[must_use]
    pub const fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }

    /// Returns the text, or `None` if this is binary.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns the payload of a text or binary message.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Returns the length of the payload in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Returns `true` if the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Converts the message into its text. Copies the text only if it was borrowed.
    ///
    /// ```
    /// use ws_core::Message;
    ///
    /// assert_eq!(Message::from("Hello").into_text().as_deref(), Ok("Hello"));
    /// let binary = Message::from(b"Hello");
    /// assert_eq!(binary.clone().into_text(), Err(binary));
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the message if it is binary, even if its payload is UTF-8.
    pub fn into_text(self) -> Result<String, Self> {
        match self {
            Self::Text(text) => Ok(text.into_owned()),
            Self::Binary(_) => Err(self),
        }
    }

    /// Converts the message into its payload. Copies the payload only if it was borrowed.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_owned().into_bytes(),
            Self::Binary(bytes) => bytes.into_owned(),
        }
    }

    /// Converts the message into one that owns its payload. Copies the payload only if it was borrowed.
    #[must_use]
    #[inline]
    pub fn into_owned(self) -> Message<'static> {
        match self {
            Self::Text(text) => Message::Text(Cow::Owned(text.into_owned())),
            Self::Binary(bytes) => Message::Binary(Cow::Owned(bytes.into_owned())),
        }
    }

    /// Returns a message that borrows its payload from this one.
    #[must_use]
    #[inline]
    pub fn as_borrowed(&self) -> Message<'_> {
        match self {
            Self::Text(text) => Message::Text(Cow::Borrowed(text)),
            Self::Binary(bytes) => Message::Binary(Cow::Borrowed(bytes)),
        }
    }
}

/// Shows text unchanged, and the length in bytes of a binary message.
impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Binary(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// Shows the kind and at most the first 64 bytes, so that a log entry fits on one line.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_text() { "Text" } else { "Binary" };
        write!(f, "{kind}({:?})", Excerpt(self.as_bytes()))
    }
}

impl<'a> From<&'a str> for Message<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Message<'_> {
    #[inline]
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a String> for Message<'a> {
    #[inline]
    fn from(text: &'a String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self::Binary(Cow::Borrowed(bytes))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Message<'a> {
    #[inline]
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Binary(Cow::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Message<'_> {
    #[inline]
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(Cow::Owned(bytes))
    }
}

impl<'a> From<&'a Vec<u8>> for Message<'a> {
    #[inline]
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Binary(Cow::Borrowed(bytes))
    }
}

impl<'a> From<Cow<'a, str>> for Message<'a> {
    #[inline]
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Cow<'a, [u8]>> for Message<'a> {
    #[inline]
    fn from(bytes: Cow<'a, [u8]>) -> Self {
        Self::Binary(bytes)
    }
}

/// Creates a binary message. Copies the payload only if other [`Bytes`] share it. To send shared bytes, convert a
/// reference: `Message::from(&bytes)` never copies.
impl From<Bytes> for Message<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(Cow::Owned(bytes.into()))
    }
}

impl<'a> From<&'a Bytes> for Message<'a> {
    #[inline]
    fn from(bytes: &'a Bytes) -> Self {
        Self::Binary(Cow::Borrowed(bytes))
    }
}

/// Converts the message into its payload. Copies the payload only if it was borrowed.
impl From<Message<'_>> for Bytes {
    fn from(message: Message<'_>) -> Self {
        message.into_bytes().into()
    }
}

/// Converts the message into its payload. Copies the payload only if it was borrowed.
impl From<Message<'_>> for Vec<u8> {
    fn from(message: Message<'_>) -> Self {
        message.into_bytes()
    }
}

/// Converts the message into its text, as [`Message::into_text`] does.
impl<'a> TryFrom<Message<'a>> for String {
    type Error = Message<'a>;

    fn try_from(message: Message<'a>) -> Result<Self, Self::Error> {
        message.into_text()
    }
}

impl<'a> From<&'a Message<'_>> for Message<'a> {
    #[inline]
    fn from(message: &'a Message<'_>) -> Self {
        message.as_borrowed()
    }
}

impl PartialEq<str> for Message<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_text() == Some(other)
    }
}

impl PartialEq<&str> for Message<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_text() == Some(other)
    }
}

impl PartialEq<[u8]> for Message<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        matches!(self, Self::Binary(bytes) if bytes.as_ref() == other)
    }
}

/// A piece of a message. [`Delivery::Chunks`](crate::Delivery::Chunks) delivers chunks as they arrive, and
/// [`send_chunk`](crate::Connection::send_chunk) sends a chunk as one frame of a longer message.
///
/// Chunks do not show the boundaries of frames (fragments) or of reads from the network. Only the concatenation of
/// all chunks of a message has a meaning. A text chunk never splits a character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The piece itself, of the same kind as its message.
    pub payload: Message<'a>,
    /// `true` if the message ends with this piece.
    pub last: bool,
}

impl<'a> Chunk<'a> {
    /// Creates a piece that is not the last one of its message.
    ///
    /// ```
    /// use ws_core::Chunk;
    /// let pieces = [Chunk::new("Hello, "), Chunk::last("WebSocket!")];
    /// assert!(pieces[1].last);
    /// ```
    pub fn new(payload: impl Into<Message<'a>>) -> Self {
        Self { payload: payload.into(), last: false }
    }

    /// Creates the piece that ends its message.
    pub fn last(payload: impl Into<Message<'a>>) -> Self {
        Self { payload: payload.into(), last: true }
    }

    /// Converts the chunk into one that owns its payload.
    #[must_use]
    pub fn into_owned(self) -> Chunk<'static> {
        Chunk { payload: self.payload.into_owned(), last: self.last }
    }
}

/// An event from the peer, as [`Connection::receive`](crate::Connection::receive) returns it.
///
/// When a ping or Close is returned, the connection has already queued the answer: it waits in
/// [`transmit`](crate::Connection::transmit).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A whole message.
    Message(Message<'a>),
    /// A piece of a message, with [`Delivery::Chunks`](crate::Delivery::Chunks).
    Chunk(Chunk<'a>),
    /// A ping and its payload of at most 125 bytes. The pong is already queued.
    Ping(Cow<'a, [u8]>),
    /// A pong and its payload of at most 125 bytes. Answers to keepalive pings are not returned. See
    /// [`latency`](crate::Connection::latency).
    Pong(Cow<'a, [u8]>),
    /// The peer's Close, with its code and reason if it has any. It is the last event.
    Close(Option<CloseFrame<'a>>),
}

impl Event<'_> {
    /// Converts the event into one that owns its payload.
    #[must_use]
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Self::Message(message) => Event::Message(message.into_owned()),
            Self::Chunk(chunk) => Event::Chunk(chunk.into_owned()),
            Self::Ping(payload) => Event::Ping(Cow::Owned(payload.as_ref().to_owned())),
            Self::Pong(payload) => Event::Pong(Cow::Owned(payload.as_ref().to_owned())),
            Self::Close(frame) => Event::Close(frame.map(CloseFrame::into_owned)),
        }
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => f.debug_tuple("Message").field(message).finish(),
            Self::Chunk(chunk) => f.debug_tuple("Chunk").field(chunk).finish(),
            Self::Ping(payload) => f.debug_tuple("Ping").field(&Excerpt(payload)).finish(),
            Self::Pong(payload) => f.debug_tuple("Pong").field(&Excerpt(payload)).finish(),
            Self::Close(frame) => f.debug_tuple("Close").field(frame).finish(),
        }
    }
}
