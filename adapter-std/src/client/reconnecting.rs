use std::{sync::Arc, thread};

use ws_core::{ReconnectPolicy, Response};
use ws_sessions::{Callbacks, WhileDisconnected};
use ws_transport::{Error, ReconnectAttempt, ReconnectStep, Reconnector};

use super::{CancelHandle, Client, ReconnectingClient, connecting, websocket};
use crate::WebSocket;

/// The connections of a client, one after the other. [`Client::reconnecting`] and [`Client::reconnect`] create it.
///
/// As an iterator, it connects for each call of `next`: at once for the first connection, and later after the delay of the
/// [`ReconnectPolicy`]. The iterator ends
///
/// - with an error, if it is not [transient](Error::is_transient) or if the policy permits no more attempts. It is the last item,
/// - without an error, after a connection that the application or the server has closed with 1000, and when a [`CancelHandle`] was
///   used, at once.
///
/// A connection that the application drops while it is open is replaced. A message that was queued when a connection broke is
/// not sent again: the application has to find out which messages the server has received.
///
/// ```no_run
/// use ws_std::Client;
///
/// let mut last = 0;
/// for ws in Client::new("ws://127.0.0.1:9001/prices").reconnecting() {
///     let mut ws = ws?;
///     ws.send(format!("resume {last}"))?;
///     // An error ends this connection. The iterator decides if there is another one.
///     while let Ok(Some(message)) = ws.receive() {
///         println!("{message}");
///         last += 1;
///     }
/// }
/// # Ok::<(), ws_std::Error>(())
/// ```
///
/// [`start`](Self::start) runs callbacks instead.
#[must_use = "nothing is connected before `next` or `start` is called"]
#[derive(Debug)]
pub struct Reconnecting(Reconnector<Client, Client>);

impl Reconnecting {
    pub(super) fn new(client: Client, policy: ReconnectPolicy) -> Self {
        Self(Reconnector::new(client, policy, |client, _| client))
    }

    /// Sets the function that decides if the client connects again after this error: of an attempt, or of a connection that has
    /// ended, as [`Error::Closed`] or [`Error::Disconnected`]. It is not called after a close by this application. Default:
    /// [`Error::is_transient`].
    pub fn retry_if(mut self, decide: impl FnMut(&Error) -> bool + Send + 'static) -> Self {
        self.0.retry_if(decide);
        self
    }

    /// Sets a function that may change the client before each attempt, including the first one, such as a new token or another
    /// address. It receives the client without its earlier changes.
    pub fn before_attempt(
        mut self,
        hook: impl FnMut(Client, &ReconnectAttempt<'_>) -> Client + Send + 'static,
    ) -> Self {
        self.0.before_attempt(hook);
        self
    }

    /// Connects in a separate thread and runs the callbacks there, for one connection after the other. It does not wait for the
    /// first connection.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ws_std::{Callbacks, Client, WhileDisconnected};
    ///
    /// let callbacks = Callbacks::new()
    ///     .on_connect(|session| drop(session.send("Hello")))
    ///     .on_message(|_session, message| println!("{message}"));
    /// let wait = WhileDisconnected::Wait(Duration::from_secs(10));
    /// let client = Client::new("ws://127.0.0.1:9001/chat").reconnecting().start(callbacks, wait)?;
    /// client.send("Are you there?")?;
    /// client.stop(Duration::from_secs(5));
    /// # Ok::<(), ws_std::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if no thread can be started, or if no more file descriptors are available.
    pub fn start(
        mut self,
        callbacks: Callbacks,
        while_disconnected: WhileDisconnected,
    ) -> Result<ReconnectingClient, Error> {
        let cancel = CancelHandle::new()?;
        self.0.client.waits.0.push(cancel.clone());
        let handle = ReconnectingClient::new(cancel, while_disconnected);
        let running = handle.clone();
        let callbacks = Arc::new(callbacks);
        thread::Builder::new().name("ws-client".into()).spawn(move || running.run(self, &callbacks))?;
        Ok(handle)
    }

    /// Waits, and connects. Returns `None` after the last connection.
    pub(super) fn connect(&mut self) -> Option<Result<(WebSocket, Response, String), Error>> {
        loop {
            let record = match self.0.next_step() {
                ReconnectStep::Wait(until) => {
                    let left = connecting::left(self.0.clock(), Some(until));
                    if self.0.client.waits.wait([], left).is_err() {
                        self.0.stop();
                    }
                    continue;
                }
                ReconnectStep::Connect(_) if self.0.client.waits.is_cancelled() => {
                    self.0.stop();
                    continue;
                }
                ReconnectStep::Connect(record) => record,
                ReconnectStep::End(error) => return error.map(Err),
            };
            let client = self.0.begin_attempt();
            let path = client.path();
            match connecting::connect(client.settings, &client.waits) {
                Ok(open) => {
                    self.0.connected(record.clone());
                    let (ws, response) = websocket(open, client.read_timeout, Some(record));
                    return Some(Ok((ws, response, path)));
                }
                Err(error) => self.0.failed(error),
            }
        }
    }
}

impl Iterator for Reconnecting {
    type Item = Result<WebSocket, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.connect()?.map(|(ws, ..)| ws))
    }
}
