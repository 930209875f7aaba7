//! JSON messages.

use serde_core::{Serialize, de::DeserializeOwned};
use ws_core::Message;
use ws_transport::Error;

use crate::{Receiver, Sender, WebSocket};

/// JSON, with the feature `serde`.
impl WebSocket {
    /// Sends a value as a text message that contains JSON.
    ///
    /// ```no_run
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize)]
    /// struct Ask {
    ///     id: u32,
    ///     question: String,
    /// }
    ///
    /// #[derive(Deserialize)]
    /// struct Answer {
    ///     id: u32,
    ///     text: String,
    /// }
    ///
    /// let mut ws = ws_std::connect("ws://127.0.0.1:9001/questions")?;
    /// ws.send_json(&Ask { id: 7, question: "Why?".into() })?;
    /// while let Some(answer) = ws.receive_json::<Answer>()? {
    ///     println!("{}: {}", answer.id, answer.text);
    /// }
    /// # Ok::<(), ws_std::Error>(())
    /// ```
    ///
    /// For a session or a broadcast, create the message with [`Message::json`].
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Json`] if the value cannot be written as JSON. Nothing was sent.
    /// - Returns the same errors as [`send`](Self::send).
    pub fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Error> {
        self.sender.send_json(value)
    }

    /// Waits for the next message and parses the JSON that it contains. Returns `None` if the connection has ended
    /// [normally](crate::CloseInfo::is_normal).
    ///
    /// The size of the text is limited by [`max_message_size`](crate::Config::max_message_size). Values may be nested at
    /// most 128 levels deep.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Json`] if the message is binary, is not JSON, or does not fit the type. The connection is
    ///   unchanged, and the next call receives the next message. To refuse the peer, close the connection with 1003 or
    ///   1007.
    /// - Returns the same errors as [`receive`](Self::receive).
    pub fn receive_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        self.receiver.receive_json()
    }
}

/// JSON, with the feature `serde`.
impl Sender {
    /// Sends a value as JSON, see [`WebSocket::send_json`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::send_json`].
    pub fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Error> {
        self.send(Message::json(value)?)
    }
}

/// JSON, with the feature `serde`.
impl Receiver {
    /// Waits for the next message and parses the JSON that it contains, see [`WebSocket::receive_json`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::receive_json`].
    pub fn receive_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let Some(message) = self.receive()? else { return Ok(None) };
        Ok(Some(message.parse_json()?))
    }
}
